"""Our smoothing against a Gaussian, Savitzky-Golay and One-Euro on what a noisy network sees of known motion.

    make bench-tracking            (or python -m benchmarks.motion [--plot OUT.png], which needs matplotlib)

Everybody gets the same measurements, outliers left out by the same rule, and the same translations refitted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, savgol_filter

from aios_core.body.files import open_body
from aios_core.body.joints import BODY_JOINTS
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.config import RefineConfig
from aios_core.evaluation.motion import acceleration_error, joints_of, motion_scores
from aios_core.geometry.rotations import axis_angle_to_quat_wxyz, continuous_quat_wxyz, quat_wxyz_to_axis_angle
from aios_core.mocap import Mocap, Track
from aios_core.pipeline.refine import refine
from aios_core.pipeline.refine.feet import runs
from aios_core.pipeline.refine.outliers import rotation_outliers
from aios_core.pipeline.refine.smooth import smooth_rotations
from tests.motion_clips import clips, placed
from tests.noisy_mocaps import NetworkNoise, observe, scene

SEEDS = range(3)
FPS = 30
Filter = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(T, J, 4) quaternions with continuous signs, (T,) seconds -> filtered quaternions, not yet of unit length."""


def one_euro(min_cutoff: float, beta: float) -> Filter:
    """Casiez et al. 2012, component by component, forwards in time as it is used."""

    def run(quats: np.ndarray, times: np.ndarray) -> np.ndarray:
        answer, speed = quats.copy(), np.zeros_like(quats[0])
        for t in range(1, len(quats)):
            step = times[t] - times[t - 1]
            share = 1 / (1 + 1 / (2 * np.pi * 1.0 * step))
            speed = speed + share * ((quats[t] - answer[t - 1]) / step - speed)
            cutoff = min_cutoff + beta * np.abs(speed)
            share = 1 / (1 + 1 / (2 * np.pi * cutoff * step))
            answer[t] = answer[t - 1] + share * (quats[t] - answer[t - 1])
        return answer

    return run


OFF = RefineConfig(
    body_seconds=0, hands_seconds=0, face_seconds=0, place_seconds=0, depth_seconds=0, replace_outliers=False,
    lock_feet=False, order_depths=False, sizes_from_ground=False,
)  # fmt: skip
"""What was measured, as it is."""
FILTERS: dict[str, Filter] = {
    "as measured": lambda q, t: q,
    "One-Euro 1.0 / 0.5": one_euro(1.0, 0.5),
    "One-Euro 2.0 / 2.0": one_euro(2.0, 2.0),
    "Savitzky-Golay 7, 3": lambda q, t: savgol_filter(q, 7, 3, axis=0),
    "Savitzky-Golay 15, 3": lambda q, t: savgol_filter(q, 15, 3, axis=0),
    "Gaussian 1 frame": lambda q, t: gaussian_filter1d(q, 1, axis=0),
    "Gaussian 2 frames": lambda q, t: gaussian_filter1d(q, 2, axis=0),
    "Gaussian 3 frames": lambda q, t: gaussian_filter1d(q, 3, axis=0),
    "ours, 0.4 s": lambda q, t: smooth_rotations(q, t, np.ones(q.shape[:2]), 0.4),
    "ours, 0.8 s (default)": lambda q, t: smooth_rotations(q, t, np.ones(q.shape[:2]), 0.8),
}


@dataclass
class Row:
    """Errors of joints relative to the pelvis, as means over people and seeds."""

    joints_mm: float
    fastest_mm: float
    acceleration: float
    peaks: float


def three_people() -> Mocap:
    """A dancer, a boxer and somebody who walks, four metres away."""
    cast = clips()
    return scene([
        placed(cast["dancer"], -1.2, 4.5, np.pi), placed(cast["boxer"], 1.2, 4.6, 3.5),
        placed(cast["walker"], -1.0, 3.7, 0.0),
    ])  # fmt: skip


def filtered_joints(track: Track, betas: np.ndarray, times: np.ndarray, run: Filter) -> np.ndarray:
    """(T, 22, 3) relative to the pelvis, of measured rotations under a filter."""
    measured = track.measured
    pose = full_pose(measured.global_orient, measured.body_pose)[:, :BODY_JOINTS].astype(np.float64)
    quats = axis_angle_to_quat_wxyz(pose)
    bad = rotation_outliers(quats, times)
    for joint in range(BODY_JOINTS):  # the last good measurement stands in for outliers
        rows = np.maximum.accumulate(np.where(bad[:, joint], 0, np.arange(len(quats))))
        quats[:, joint] = quats[rows, joint]
    quats = run(continuous_quat_wxyz(quats), times)
    pose = quat_wxyz_to_axis_angle(quats / np.linalg.norm(quats, axis=-1, keepdims=True))
    whole = np.concatenate([pose, np.zeros((len(pose), 33, 3))], 1)
    joints = pose_joints(open_body(), np.tile(betas, (len(pose), 1)), whole)[:, :BODY_JOINTS]
    return joints - joints[:, :1]


def peak_heights(true: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """(reached, true) summed excursions of limbs (T, 22, 3) at the true extremes."""
    reached = excursion = 0.0
    for joint in (4, 5, 10, 11, 18, 19, 20, 21):
        for axis in range(3):
            for curve, other in ((true[:, joint, axis], found[:, joint, axis]),
                                 (-true[:, joint, axis], -found[:, joint, axis])):  # fmt: skip
                peaks, about = find_peaks(curve, prominence=0.08)
                for k, peak in enumerate(peaks):
                    base = max((about["left_bases"][k], about["right_bases"][k]), key=lambda i: curve[i])
                    reached += other[peak] - other[base]
                    excursion += curve[peak] - curve[base]
    return reached, excursion


def compare(joints: np.ndarray, true: np.ndarray, times: np.ndarray) -> tuple[list[float], tuple[float, float]]:
    """Errors in mm, in mm of the fastest tenth and in m/s2, and heights of peaks, of joints (T, 22, 3)."""
    joints, true = joints - joints[:, :1], true - true[:, :1]
    error = np.linalg.norm(joints - true, axis=-1).mean(1)
    speed = np.linalg.norm(np.gradient(true, axis=0), axis=-1).mean(1)
    fastest = error[speed >= np.quantile(speed, 0.9)].mean()
    return [1e3 * error.mean(), 1e3 * fastest, acceleration_error(joints, true, times)], peak_heights(true, joints)


def measure(run: Filter, truth: Mocap, seen: list[Mocap]) -> Row:
    """One filter over all seeds and people."""
    errors, peaks = [], []
    for mocap in seen:
        for real, track in zip(truth.tracks, mocap.tracks, strict=True):
            true, times = joints_of(truth, real, open_body()), truth.timestamps[real.frames]
            found = compare(filtered_joints(track, real.betas, times, run), true, times)
            errors.append(found[0])
            peaks.append(found[1])
    reached, excursion = np.sum(peaks, axis=0)
    return Row(*np.mean(errors, axis=0).tolist(), float(reached / excursion))


def print_filters(title: str, noise: NetworkNoise) -> None:
    """The table for one kind of noise."""
    truth = three_people()
    seen = [observe(truth, noise, seed) for seed in SEEDS]
    print(f"\n{title}\n{'':24s}{'joints mm':>10s}{'fastest tenth mm':>18s}{'acceleration m/s2':>19s}{'peaks':>8s}")
    for name, run in FILTERS.items():
        row = measure(run, truth, seen)
        print(f"{name:24s}{row.joints_mm:10.1f}{row.fastest_mm:18.1f}{row.acceleration:19.1f}{row.peaks:8.1%}")


def print_whole_line() -> None:
    """Refining as a whole: in the camera's space, with places, ground and feet."""
    truth, body = three_people(), open_body()
    columns = ("joints mm", "to pelvis mm", "acceleration m/s2", "sliding mm", "picture px")
    print("\nrefining as a whole\n" + " " * 24 + "".join(f"{column:>19s}" for column in columns))
    for title, config in (
        ("as measured", OFF),
        ("feet free", RefineConfig(lock_feet=False)),
        ("feet locked", RefineConfig()),
        ("fitted to the picture", RefineConfig(fit_picture=True)),
    ):
        scores, spent = [], 0.0
        for seed in SEEDS:
            begun = time.perf_counter()
            found = refine(observe(truth, NetworkNoise(), seed), body, config)
            spent += time.perf_counter() - begun
            pairs = zip(truth.tracks, found.tracks, strict=True)
            scores += [motion_scores(truth, real, found, track, body) for real, track in pairs]
        names = ("mpjpe_mm", "root_mpjpe_mm", "acceleration_m_s2", "sliding_mm", "reprojection_px")
        means = [np.nanmean([getattr(score, name) for score in scores]) for name in names]
        print(f"{title:24s}" + "".join(f"{mean:19.1f}" for mean in means) + f"   ({spent / 3:.2f} s)")


def fidgeting(truth: Mocap) -> Mocap:
    """The truth with fists that open and close and with faces that talk, each at a rate of their own."""
    tracks = []
    for i, track in enumerate(truth.tracks):
        times = truth.timestamps[track.frames]
        curl, talk = np.sin(2 * np.pi * (0.5 + 0.2 * i) * times), np.sin(2 * np.pi * (2.0 + 0.5 * i) * times)
        hands = track.left_hand_pose.copy(), track.right_hand_pose.copy()
        for hand, side in zip(hands, (-1, 1), strict=True):
            hand[:, :12, 2] = side * (0.6 + 0.5 * curl[:, None])
        expression = track.expression.copy()
        expression[:, 0] = 1.5 * talk
        tracks.append(replace(
            track, left_hand_pose=hands[0], right_hand_pose=hands[1], expression=expression,
        ))  # fmt: skip
    return replace(truth, tracks=tuple(tracks))


def print_hands_and_face() -> None:
    """Errors of fingers, jaw and expression, as measured and refined."""
    truth, body = fidgeting(three_people()), open_body()
    print("\nhands and face\n" + " " * 24 + f"{'error':>10s}{'acceleration error':>20s}{'size of motion':>16s}")
    for title, config in (("as measured", OFF), ("refined", RefineConfig())):
        found = [refine(observe(truth, NetworkNoise(), seed), body, config) for seed in SEEDS]
        for part, unit in (("right_hand_pose", "deg"), ("expression", "")):
            error, bend, size = [], [], []
            for mocap in found:
                for real, track in zip(truth.tracks, mocap.tracks, strict=True):
                    true, seen = (getattr(t, part).reshape(len(t), -1).astype(np.float64) for t in (real, track))
                    scale = np.degrees(1) if unit else 1.0
                    moving = true.std(0) > 1e-3
                    error.append(scale * np.sqrt(((seen - true)[:, moving] ** 2).mean()))
                    bend.append(scale * np.sqrt((np.diff((seen - true)[:, moving], 2, axis=0) ** 2).mean()) * FPS**2)
                    true = true[:, moving] - true[:, moving].mean(0)
                    size.append(float((seen[:, moving] * true).sum() / (true**2).sum()))
            numbers = f"{np.mean(error):6.2f} {unit:3s}{np.mean(bend):16.0f} {unit:3s}{np.mean(size):14.0%}"
            print(f"{title:13s}{part:16s}{numbers}")


def plot(path: str) -> None:
    """Before and after: a boxer's wrist, and a walker's heel over the ground."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from aios_core.evaluation.motion import soles_in_world

    truth, body = three_people(), open_body()
    seen = observe(truth, NetworkNoise(), 0)
    raw, clean = refine(seen, body, OFF), refine(seen, body, RefineConfig())
    pyplot.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure, panels = pyplot.subplots(3, 1, figsize=(10, 8.4), constrained_layout=True)
    titles = (
        ("Boxer, right wrist: towards the camera, from the pelvis", "metres"),
        ("Walker, ball of the right foot: along the way (grey: it stands)", "metres"),
        ("Walker, pelvis: distance from the camera", "metres"),
    )
    styles = (
        (raw, "as measured", "#d9822b", 1.0, 1),
        (truth, "truth", "#9a9a9a", 4.0, 0),
        (clean, "refined", "#1f5fbf", 1.8, 2),
    )
    for mocap, name, colour, width, order in styles:
        boxer, walker = mocap.tracks[1], mocap.tracks[2]
        wrist, pelvis = joints_of(mocap, boxer, body), joints_of(mocap, walker, body)[:, 0, 2]
        foot = soles_in_world(mocap, walker, body)[:, 3, 0]
        times = mocap.timestamps[boxer.frames], *[mocap.timestamps[walker.frames]] * 2
        for panel, seconds, curve in zip(
            panels, times, ((wrist[:, 0] - wrist[:, 21])[:, 2], foot, pelvis), strict=True
        ):
            panel.plot(seconds, curve, color=colour, lw=width, label=name, zorder=order)
    for start, stop in runs(truth.tracks[2].contacts[:, 3]):
        panels[1].axvspan(start / FPS, (stop - 1) / FPS, color="#00000014", lw=0)
    for panel, (title, unit) in zip(panels, titles, strict=True):
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_ylabel(unit)
        panel.margins(x=0.01)
    panels[-1].set_xlabel("seconds")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", help="also draw before and after into this .png")
    options = parser.parse_args()
    print_filters("noise of the shipped network (jitter, slow drift, flips, swapped limbs)", NetworkNoise())
    print_filters("jitter alone", NetworkNoise(drift=0, flips=0, swaps=0))
    print_whole_line()
    print_hands_and_face()
    if options.plot:
        plot(options.plot)


if __name__ == "__main__":
    main()
