"""A small picture of the frame looked at last, with the people found in it as lines: what a running capture shows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from aios_core.media import Frame
from aios_core.output import whole_file
from aios_core.pipeline.people import FramePeople

WIDTH, EVERY_SECONDS = 320, 1.0
COCO_LINES = (
    (5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (0, 5),
    (0, 6),
)  # fmt: skip
"""Pairs of COCO keypoints that are drawn as limbs."""
COLOUR = (255, 170, 40)


class ThumbnailWriter:
    """Keeps a .jpg of the latest frame, written anew at most once a second."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._written = -np.inf

    def __call__(self, frame: Frame, people: FramePeople) -> None:
        """Write the frame, if it is time."""
        if time.monotonic() - self._written < EVERY_SECONDS:
            return
        self._written = time.monotonic()
        with whole_file(self.path) as temporary:
            cv2.imwrite(str(temporary), draw_thumbnail(frame, people)[..., ::-1])


def draw_thumbnail(frame: Frame, people: FramePeople) -> np.ndarray:
    """(h, 320, 3) uint8 RGB picture of a frame with the people found in it."""
    width, height = frame.size
    scale = WIDTH / width
    size = WIDTH, max(round(height * scale), 1)
    shrinks = frame.rgb.shape[1] > WIDTH
    picture = cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    for points in np.round(people.keypoints_px * scale).astype(int).tolist():
        for a, b in COCO_LINES:
            cv2.line(picture, points[a], points[b], COLOUR, 1, cv2.LINE_AA)
    return picture
