"""What people wear is read off the picture, whichever way they face, and tells them apart when they come back."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from aios_core.config import CaptureConfig
from aios_core.evaluation.identity import identity_scores
from aios_core.pipeline.capture import iterate_people
from aios_core.pipeline.colours import part_colours
from aios_core.pipeline.people import COLOURED_PARTS
from tests.core.test_tracking import found_boxes, tracked, true_boxes
from tests.tracking_scenes import DEMO, Error, detect, entrances

PLAZA = Path(__file__).parents[2] / "examples" / "footage" / "plaza.mp4"
RED, BLUE, GREY, SKIN = (200, 20, 20), (20, 20, 200), (128, 128, 128), (220, 170, 140)
STANDING = np.array(
    [(50, 20), (52, 18), (48, 18), (55, 19), (45, 19), (62, 40), (38, 40), (68, 60), (32, 60), (70, 80), (30, 80),
     (57, 90), (43, 90), (58, 125), (42, 125), (59, 160), (41, 160)], float,
)  # fmt: skip
"""COCO keypoints of somebody seen from the front."""
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def picture() -> np.ndarray:
    """Somebody in a red shirt and blue trousers before grey."""
    image = np.full((200, 100, 3), GREY, np.uint8)
    for a, b, colour, width in (
        (5, 7, RED, 9), (6, 8, RED, 9), (7, 9, SKIN, 7), (8, 10, SKIN, 7), (11, 15, BLUE, 11), (12, 16, BLUE, 11),
    ):  # fmt: skip
        ends = (tuple(map(int, STANDING[k])) for k in (a, b))
        cv2.line(image, *ends, colour, width)
    cv2.rectangle(image, (36, 36), (64, 92), RED, -1)
    cv2.circle(image, (50, 17), 9, SKIN, -1)
    return image


def lab(*colours) -> np.ndarray:
    rows = np.array(colours, np.float32)[None] / 255
    return cv2.cvtColor(rows, cv2.COLOR_RGB2LAB)[0]


def test_every_part_has_the_colour_of_what_covers_it():
    found = part_colours(picture(), STANDING[None])
    assert found.shape == (1, COLOURED_PARTS, 3)
    np.testing.assert_allclose(found[0], lab(SKIN, RED, RED, RED, SKIN, BLUE, BLUE), atol=3)


def test_left_for_right_and_a_larger_picture_change_nothing():
    usual = part_colours(picture(), STANDING[None])
    np.testing.assert_array_equal(part_colours(picture(), STANDING[None, MIRRORED]), usual)
    large = cv2.resize(picture(), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_allclose(part_colours(large, 3 * STANDING[None]), usual, atol=3)


def test_a_joint_beside_the_body_or_the_picture_does_not_count():
    astray = STANDING.copy()
    astray[9] = -400, 900
    found, usual = (part_colours(picture(), points[None])[0] for points in (astray, STANDING))
    assert np.abs(found - usual)[[0, 1, 2, 3, 5, 6]].max() < 1e-3 and np.isfinite(found).all()
    assert part_colours(picture(), np.zeros((0, 17, 2))).shape == (0, COLOURED_PARTS, 3)


def test_the_people_of_footage_keep_their_colours_and_differ_in_them():
    frames = [people for _, people in islice(iterate_people(PLAZA, CaptureConfig()), 20)]
    centers = [people.boxes_xyxy_px[:, ::2].mean(1) for people in frames]
    left, right = (np.stack([p.colours[c.argsort()[k]] for p, c in zip(frames, centers, strict=True)]) for k in (0, -1))
    spread = max(np.linalg.norm(c - c.mean(0), axis=-1).mean() for c in (left, right))
    assert np.linalg.norm(left.mean(0) - right.mean(0), axis=-1).mean() > 2 * spread


def test_clothes_tell_who_comes_back_where_nothing_else_does():
    vague = replace(DEMO, token=Error(6.0, 6.0, 6.0), shape=Error(0.5, 0.5, 0.5), duplicates=0.0)
    scene = entrances()

    def idf1(frames) -> float:
        return identity_scores(found_boxes(scene, frames, tracked(scene, frames)), true_boxes(scene)).idf1

    own, uniforms = [], []
    for seed in range(1, 19):  # six of them can be lucky or not: 0.94 to 0.97
        frames = detect(scene, vague, seed)
        own.append(idf1(frames))
        uniforms.append(idf1([(replace(seen, colours=seen.colours * 0 + 50), who) for seen, who in frames]))
    assert np.mean(own) > 0.95 > 0.9 > np.mean(uniforms)
