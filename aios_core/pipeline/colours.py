"""The colours of people's hair, trunk and limbs, read off the picture where their joints are.

The network's tokens say where people are and how they stand, hardly what they wear. Within one clip clothes tell people
apart best. Left and right limbs count together, so that it does not matter which is which.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from aios_core.pipeline.people import COLOURED_PARTS, FramePeople

NOSE, SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = 0, (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)
"""COCO keypoints."""
ALONG = 0.3, 0.5, 0.7
"""Where limbs are looked at, and trunks across."""
DOWN = {"chest": (0.2, 0.4), "belly": (0.7, 0.9)}
"""Where trunks are looked at, from shoulders to hips."""
LIMBS = {
    "upper arms": (SHOULDERS, ELBOWS),
    "forearms": (ELBOWS, WRISTS),
    "thighs": (HIPS, KNEES),
    "shins": (KNEES, ANKLES),
}


def _spots() -> dict[str, np.ndarray]:
    """(S, 17) for every part: the keypoints' weights in each of the places where it is looked at."""

    def spot(*weights: tuple[int, float]) -> np.ndarray:
        row = np.zeros(17)
        for keypoint, weight in weights:
            row[keypoint] += weight
        return row

    spots = {"head": [spot((NOSE, 1)), spot((NOSE, 1.25), (SHOULDERS[0], -0.125), (SHOULDERS[1], -0.125))]}
    for part, heights in DOWN.items():
        spots[part] = [
            spot(
                (SHOULDERS[0], (1 - down) * (1 - across)), (SHOULDERS[1], (1 - down) * across),
                (HIPS[0], down * (1 - across)), (HIPS[1], down * across),
            )
            for down in heights for across in ALONG
        ]  # fmt: skip
    for part, (begins, ends) in LIMBS.items():
        spots[part] = [
            spot((a, 1 - t), (b, t)) for a, b in zip(begins, ends, strict=True) for t in ALONG
        ]  # fmt: skip
    return {part: np.array(rows) for part, rows in spots.items()}


SPOTS = _spots()


def with_colours(people: FramePeople, rgb: np.ndarray, width: int) -> FramePeople:
    """The people with the colours that they have in a picture (H, W, 3), which may be smaller than the footage.

    width: of the footage, in whose pixels the people are.
    """
    colours = part_colours(rgb, people.keypoints_px * (rgb.shape[1] / width))
    return replace(people, colours=colours)


def part_colours(rgb: np.ndarray, keypoints_px: np.ndarray) -> np.ndarray:
    """(P, 7, 3) CIE Lab of the parts of people with keypoints (P, 17, 2) in pixels of an 8-bit picture (H, W, 3).

    Of each part the median over its spots, so that a spot beside the body does not count.
    """
    if not len(keypoints_px):
        return np.zeros((0, COLOURED_PARTS, 3), np.float32)
    calm = cv2.blur(rgb, (3, 3))
    low, high = np.zeros(2), np.array(rgb.shape[1::-1]) - 1
    found = []
    for spots in SPOTS.values():
        x, y = np.clip(spots @ keypoints_px, low, high).round().astype(int).transpose(2, 0, 1)
        lab = cv2.cvtColor(calm[y, x].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        found.append(np.median(lab, axis=1))
    return np.stack(found, 1).astype(np.float32)
