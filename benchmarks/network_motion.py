"""Our refining against a Gaussian, Savitzky-Golay and One-Euro on what the shipped network sees of known motion.

    python -m benchmarks.network_motion [--weights FILE] [VIDEO ...]

Beside every video VIDEO.mp4 lies VIDEO.truth.npz; without any it is the demo's. Focal lengths are the true ones. The
filters get the measurements as `benchmarks.motion` gives them, outliers and people turned about put right by our rules.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from aios_core import mocap
from aios_core.body.files import open_body
from aios_core.body.transfer import body_for_shape
from aios_core.config import CaptureConfig, RefineConfig
from aios_core.evaluation.motion import common_rows, joints_of, matched_tracks, motion_scores
from aios_core.mocap import Mocap
from aios_core.pipeline.capture import estimate
from aios_core.pipeline.refine import raw_track, refine
from aios_core.pipeline.refine.facing import facing_one_way
from benchmarks.clips import PLAZA
from benchmarks.motion import FILTERS, OFF, compare, filtered_joints

OTHERS = {name: run for name, run in FILTERS.items() if not name.startswith("ours")}
CONFIGS = {
    "as measured, none turned": OFF,
    "ours": RefineConfig(),
    "ours, fitted": RefineConfig(fit_picture=True),
}


def filtered(truth: Mocap, seen: Mocap) -> dict[str, list]:
    """`compare` of everybody under every filter."""
    body, rows = open_body(), {name: [] for name in OTHERS}
    for real, track in matched_tracks(seen, truth):
        fitted, betas, _ = body_for_shape(body, track.betas, seen.body_family)
        turned = facing_one_way(raw_track(track.id, track.measured), seen.timestamps, fitted, seen.camera)
        same, others = np.intersect1d(real.frames, turned.measured.frames, return_indices=True)[1:]
        true, times = joints_of(truth, real, body)[same, :22], truth.timestamps[turned.measured.frames]
        for name, run in OTHERS.items():
            rows[name].append(compare(filtered_joints(turned, betas, times, run)[others], true, times[others]))
    return rows


def refined(truth: Mocap, seen: Mocap) -> tuple[dict[str, list], dict[str, list]]:
    """`compare` of everybody as refined in every way; and joints in space, in the picture, and sliding."""
    body, rows, space = open_body(), {name: [] for name in CONFIGS}, {name: [] for name in CONFIGS}
    for name, config in CONFIGS.items():
        found = refine(seen, body, config)
        for real, track in matched_tracks(found, truth):
            same, others = common_rows(real, track)
            true, joints = joints_of(truth, real, body)[same, :22], joints_of(found, track, body)[others, :22]
            rows[name].append(compare(joints, true, truth.timestamps[real.frames[same]]))
            scores = motion_scores(truth, real, found, track, body)
            space[name].append([scores.mpjpe_mm, scores.reprojection_px, scores.sliding_mm])
    return rows, space


def main() -> None:
    """Look at all videos, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, default=[PLAZA])
    parser.add_argument("--weights", default="open")
    options = parser.parse_args()
    rows: dict[str, list] = {}
    space: dict[str, list] = {}
    for video in options.videos:
        truth = mocap.load(video.with_suffix(".truth.npz"))
        seen = estimate(video, CaptureConfig(weights=options.weights, focal_px=truth.camera.focal_px))
        ours, placed = refined(truth, seen)
        for name, more in (filtered(truth, seen) | ours).items():
            rows.setdefault(name, []).extend(more)
        for name, more in placed.items():
            space.setdefault(name, []).extend(more)
    print(f"{'':26s}{'joints mm':>10s}{'fastest tenth mm':>18s}{'acceleration m/s2':>19s}{'peaks':>8s}")
    for name, people in rows.items():
        errors = np.mean([errors for errors, _ in people], axis=0)
        reached, true = np.sum([peaks for _, peaks in people], axis=0)
        print(f"{name:26s}{errors[0]:10.1f}{errors[1]:18.1f}{errors[2]:19.1f}{reached / true:8.0%}")
    print(f"\n{'':26s}{'in space mm':>12s}{'picture px':>12s}{'sliding mm':>12s}   {len(people)} people")
    for name, scores in space.items():
        print(f"{name:26s}" + "".join(f"{mean:12.1f}" for mean in np.nanmean(scores, axis=0)))


if __name__ == "__main__":
    main()
