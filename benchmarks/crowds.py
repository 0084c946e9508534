"""Tracking's time by the number of people in the frame"""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np

from aios_core.pipeline.people import FramePeople
from aios_core.pipeline.track import Tracker
from tests.tracking_scenes import BIRTH_SCORE, DetectorNoise, crowd, detect


def tracking_ms(count: int) -> float:
    """Median milliseconds of a frame with so many people: small crowds side by side."""
    tracker, spent = Tracker(0.7), []
    for t, (people, _) in enumerate(detect(crowd(10, seconds=1.5), DetectorNoise(), 0)):
        copies = [
            replace(people, boxes_xyxy_px=people.boxes_xyxy_px + k * 4000, keypoints_px=people.keypoints_px + k * 4000)
            for k in range(count // max(len(people), 1) + 1)
        ]
        everybody = FramePeople(
            **{f.name: np.concatenate([getattr(c, f.name) for c in copies])[:count] for f in fields(FramePeople)}
        )
        begun = time.perf_counter()
        tracker.update(everybody, t / 30, BIRTH_SCORE)
        spent.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(spent))
