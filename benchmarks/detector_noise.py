"""How a network errs on a video whose people are known: what `tests/tracking_scenes.py` makes its detections of.

    python -m benchmarks.detector_noise [--weights FILE] [VIDEO ...]

Beside every video VIDEO.mp4 lies VIDEO.truth.npz; without any it is the demo's. Slow errors are the running median of a
person's, over half a second; the rest is fast. Where the fast ones leap, another of the network's queries has answered:
such detections are astray. Where joints lie nearer with the sides swapped, the person was taken for the one mirrored
along the line of sight, and is compared with that one. People of whom others cover a tenth or more are left out, and
those who are never found.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import median_filter

from aios_core import mocap
from aios_core.body.body_model import BodyModel
from aios_core.body.files import open_body
from aios_core.body.joints import MIRROR_COCO17
from aios_core.body.skinning import mirrored_body_pose
from aios_core.config import CaptureConfig
from aios_core.evaluation.motion import joints_of
from aios_core.geometry.boxes import iou_matrix
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.media import open_footage
from aios_core.pipeline.capture import WEAK_SHARE, people_of
from aios_core.pipeline.network import load_network
from aios_core.pipeline.people import FramePeople, joined
from benchmarks.clips import PLAZA
from tests.tracking_scenes import DetectorNoise, Error, hidden

SLOW_FRAMES = 15
LEAP = 4.0
"""Usual fast errors of boxes or joints that make a leap."""
HIDDEN = 0.1


@dataclass(frozen=True)
class Sights:
    """What the network said of one person: T frames in which it found it, and there is little in the way."""

    expected: int
    """Frames in which it could have been found."""
    again: np.ndarray
    """Scores of other detections of the same person that were not taken out as duplicates."""
    errors: dict[str, np.ndarray]
    """(T, ...) by the names of DetectorNoise's errors, in its units."""
    scores: np.ndarray
    """(T,)"""
    mirrored: np.ndarray
    """(T,) bool."""
    seconds: float
    """Between frames."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="open")
    parser.add_argument("videos", nargs="*", type=Path, default=[PLAZA])
    options = parser.parse_args()
    sights, false_people = [], []
    for video in options.videos:
        seen, false = sights_of(video, options.weights)
        sights += seen
        false_people.append(false)
    noise = detector_noise(sights, float(np.mean(false_people)))
    for field in fields(DetectorNoise):
        print(f"{field.name:14s} {_text(getattr(noise, field.name))}")


def _text(value: float | Error) -> str:
    if not isinstance(value, Error):
        return f"{value:.3f}"
    return f"usual {value.usual:.3f}, astray {value.astray:.3f}, slow {value.slow:.3f}"


def sights_of(video: Path, weights: str) -> tuple[list[Sights], float]:
    """The sights of everybody in a video, and how many people a frame the network saw where there was nobody."""
    truth, body = mocap.load(video.with_suffix(".truth.npz")), open_body()
    config = CaptureConfig(weights=weights)
    network = load_network(config, body)
    weakest = WEAK_SHARE * network.threshold  # that tracking uses
    frames = [people for _, people in people_of(open_footage(video), network, config, weakest)]
    boxes, depths = _boxes_and_depths(truth, body, len(frames))
    is_clear = hidden(boxes, depths) < HIDDEN
    overlaps = [iou_matrix(boxes[:, t], people.boxes_xyxy_px) for t, people in enumerate(frames)]
    false = sum(int((overlap.max(0, initial=0) < 0.1).sum()) for overlap in overlaps) / len(frames)
    found = []
    for p, track in enumerate(truth.tracks):
        rows, picks, again = [], [], []
        usable = [int(t) for t in track.frames if is_clear[p, t]]
        for t in usable:
            mine = [i for i in np.flatnonzero(overlaps[t][p] > 0.4) if overlaps[t][:, i].argmax() == p]
            if mine:
                best = max(mine, key=lambda i: frames[t].scores[i])
                rows.append(t)
                picks.append(frames[t].select(np.array([best])))
                again += [frames[t].scores[i] for i in mine if i != best]
        if rows:
            seconds = 1 / float(truth.fps)
            found.append(_sights(track, rows, picks, depths[p], len(usable), np.array(again), seconds))
    return found, false


def _boxes_and_depths(truth: mocap.Mocap, body: BodyModel, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(P, T, 4) pixels and (P, T) metres to the pelvis; far away and nowhere where somebody is not."""
    boxes, depths = np.full((len(truth.tracks), count, 4), -1.0), np.full((len(truth.tracks), count), 1e3)
    for p, track in enumerate(truth.tracks):
        boxes[p, track.frames] = track.boxes_xyxy_px
        depths[p, track.frames] = joints_of(truth, track, body)[:, 0, 2]
    return boxes, depths


def _sights(
    track: mocap.Track, rows: list[int], picks: list[FramePeople], depths: np.ndarray, expected: int, again: np.ndarray,
    seconds: float,
) -> Sights:  # fmt: skip
    at = np.searchsorted(track.frames, rows)
    true_boxes = track.boxes_xyxy_px[at]
    size = (true_boxes[:, 2:] - true_boxes[:, :2]).max(-1)
    found = joined(picks)
    keypoints, pose = track.keypoints_px[at], track.body_pose[at]
    off = [
        np.linalg.norm(found.keypoints_px - way, axis=-1).mean(1) for way in (keypoints, keypoints[:, MIRROR_COCO17])
    ]
    mirrored = off[1] < off[0]
    keypoints = np.where(mirrored[:, None, None], keypoints[:, MIRROR_COCO17], keypoints)
    pose = np.where(mirrored[:, None, None], mirrored_body_pose(pose), pose)
    turned = axis_angle_to_rotmat(pose).swapaxes(-1, -2) @ axis_angle_to_rotmat(found.body_pose)
    depth = -np.log(np.maximum(found.camera[:, 0], 1e-6)) - np.log(depths[rows])
    errors = {
        "score": found.scores,
        "box": (found.boxes_xyxy_px - true_boxes) / size[:, None],
        "keypoints": (found.keypoints_px - keypoints) / size[:, None, None],
        "depth": depth,
        "pose_deg": np.degrees(rotmat_to_axis_angle(turned)),
        "shape": found.betas,
        "token": found.tokens,
        "colours": found.colours,
    }
    # What never changes is not an error that a tracker could stumble over.
    constant = ("score", "depth", "shape", "token", "colours")
    errors = {name: e - e.mean(0) if name in constant else e for name, e in errors.items()}
    return Sights(expected, again, errors, found.scores, mirrored, seconds)


def detector_noise(sights: list[Sights], false_people: float) -> DetectorNoise:
    """The noise that fits these sights best."""
    parts = {name: ([], [], []) for name in sights[0].errors}
    astray_all, scores, astray_scores = [], [], []
    for seen in sights:
        slow = {
            n: median_filter(e, (SLOW_FRAMES,) + (1,) * (e.ndim - 1), mode="nearest") for n, e in seen.errors.items()
        }
        fast = {name: error - slow[name] for name, error in seen.errors.items()}
        leaps = [np.sqrt((fast[name].reshape(len(fast[name]), -1) ** 2).mean(1)) for name in ("box", "keypoints")]
        astray = np.any([leap > LEAP * np.median(leap) for leap in leaps], 0)
        astray_all.append(astray)
        scores.append(seen.scores[~astray])
        astray_scores.append(seen.scores[astray])
        for name, (usual, far, drift) in parts.items():
            usual.append(fast[name][~astray])
            far.append(fast[name][astray])
            drift.append(slow[name][~astray])

    def size(name: str, kind: int) -> float:
        values = np.concatenate(parts[name][kind])
        if name == "token":  # the length of the error, not of its components
            return float(np.sqrt((values**2).sum(-1).mean())) if len(values) else 0.0
        return float(np.sqrt((values**2).mean())) if values.size else 0.0

    errors = {
        name if name != "score" else "score_error": Error(*(size(name, kind) for kind in range(3))) for name in parts
    }
    stretches = sum(np.count_nonzero(np.diff(s.mirrored, prepend=False, append=False)) for s in sights) / 2
    mirrored_seconds = sum(np.count_nonzero(seen.mirrored) * seen.seconds for seen in sights)
    expected = sum(seen.expected for seen in sights)
    seen = sum(len(s.scores) for s in sights)
    return replace(
        DetectorNoise(),
        missed=1 - seen / expected,
        astray=float(np.concatenate(astray_all).mean()),
        score=_mean(scores),
        astray_score=_mean(astray_scores),
        duplicate_score=_mean([s.again for s in sights]),
        mirrored=float(np.concatenate([seen.mirrored for seen in sights]).mean()),
        mirrored_seconds=mirrored_seconds / max(stretches, 1),
        duplicates=sum(len(s.again) for s in sights) / seen,
        false_people=false_people,
        **errors,
    )


def _mean(values: list[np.ndarray]) -> float:
    return float(np.concatenate(values).mean()) if sum(map(len, values)) else 0.0


if __name__ == "__main__":
    main()
