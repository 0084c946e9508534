"""Our tracker against ByteTrack and OC-SORT of the `trackers` package, on the same detections of simulated scenes.

    make bench-tracking

Everybody gets the same closing of short gaps; identities are scored by `trackeval`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import supervision
from trackers import ByteTrackTracker, OCSORTTracker

from aios_core.evaluation.identity import IdentityScores, identity_scores
from aios_core.pipeline.people import FramePeople
from aios_core.pipeline.track import Tracker
from benchmarks.crowds import tracking_ms
from tests.core.test_tracking import found_boxes, tracked, true_boxes
from tests.tracking_scenes import (
    BIRTH_SCORE,
    DEMO,
    FAIR,
    DetectorNoise,
    Scene,
    circling,
    crossing,
    crowd,
    detect,
    entrances,
)

SEEDS = range(3)
SCENES = {
    "crossing": crossing,
    "circling": circling,
    "entrances": entrances,
    "5 people": lambda: crowd(5),
    "10 people": lambda: crowd(10),
}
NOISES = {
    "fair, all detected": FAIR,
    "fair, 10 % dropped": replace(FAIR, dropped=0.1),
    "shipped, all detected": DetectorNoise(),
    "shipped, 10 % dropped": DetectorNoise(dropped=0.1),
    "demo, 10 % dropped": replace(DEMO, dropped=0.1),
}
Frames = list[tuple[FramePeople, np.ndarray]]


def unlinked(scene: Scene, frames: Frames) -> list[np.ndarray]:
    """Our numbers from frame to frame, fragments not joined."""
    tracker = Tracker(0.7)
    return [tracker.update(people, float(t), BIRTH_SCORE) for t, (people, _) in zip(scene.times, frames, strict=True)]


def by_package(make: Callable[[], object]) -> Callable[[Scene, Frames], list[np.ndarray]]:
    """The numbers that a tracker of the package gives, found again by their boxes."""

    def run(scene: Scene, frames: Frames) -> list[np.ndarray]:
        tracker, answer = make(), []
        for people, _ in frames:
            detections = supervision.Detections(
                xyxy=people.boxes_xyxy_px, confidence=people.scores, class_id=np.zeros(len(people), int)
            )
            out = tracker.update(detections)
            row = np.zeros(len(people), int)
            for box, number in zip(out.xyxy, out.tracker_id, strict=True):
                if number is not None and number >= 0:
                    row[np.abs(people.boxes_xyxy_px - box).sum(1).argmin()] = number + 1
            answer.append(row)
        return answer

    return run


def byte_track() -> ByteTrackTracker:
    """With the thresholds that belong to these scores (see the package's documentation)."""
    return ByteTrackTracker(
        lost_track_buffer=21, track_activation_threshold=BIRTH_SCORE, minimum_consecutive_frames=1,
        high_conf_det_threshold=BIRTH_SCORE,
    )  # fmt: skip


def oc_sort() -> OCSORTTracker:
    """Likewise."""
    return OCSORTTracker(lost_track_buffer=21, minimum_consecutive_frames=1, high_conf_det_threshold=BIRTH_SCORE)


TRACKERS = {
    "ours": tracked,
    "ours, unlinked": unlinked,
    "ByteTrack": by_package(byte_track),
    "OC-SORT": by_package(oc_sort),
}


def mean_scores(scene: Scene, run: Callable, noise: DetectorNoise) -> tuple[IdentityScores, float]:
    """Scores averaged over seeds, and milliseconds a frame."""
    scores, spent, truth = [], 0.0, true_boxes(scene)
    for seed in SEEDS:
        frames = detect(scene, noise, seed)
        begun = time.perf_counter()
        people = run(scene, frames)
        spent += time.perf_counter() - begun
        scores.append(identity_scores(found_boxes(scene, frames, people), truth))
    mean = {f.name: float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(IdentityScores)}
    return IdentityScores(**mean), 1e3 * spent / len(SEEDS) / len(scene.times)


def main() -> None:
    """Measure and print."""
    print(
        f"{'scene':11s}{'detections':23s}{'tracker':16s}{'HOTA':>7s}{'IDF1':>7s}{'switches':>10s}{'frag.':>7s}{'ms':>7s}"
    )
    for title, make in SCENES.items():
        scene = make()
        for label, noise in NOISES.items():
            for name, run in TRACKERS.items():
                found, spent = mean_scores(scene, run, noise)
                print(
                    f"{title:11s}{label:23s}{name:16s}{found.hota:7.3f}{found.idf1:7.3f}{found.identity_switches:10.1f}"
                    f"{found.fragmentations:7.1f}{spent:7.2f}",
                    flush=True,
                )
    for count in (10, 50, 100):
        print(f"{count:4d} people a frame: {tracking_ms(count):.2f} ms")


if __name__ == "__main__":
    main()
