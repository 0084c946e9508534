"""Labels of a drawn scene: who is seen, how much, which joints, and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.data.sample import Sample
from training.data.synthetic import raster
from training.data.synthetic.drawing import SUPERSAMPLING, Drawing
from training.data.synthetic.posing import Posed

MIN_VISIBLE = 0.12
"""People of whom less is seen are not labelled,"""
MIN_PIXELS = 60
"""nor are those with fewer visible pixels."""
JOINT_DEPTH = 0.15
"""A joint lies up to so far, metres, under the surface that shows it."""
LEFT_HAND_JOINTS = [20, *range(25, 40), *range(66, 71)]
RIGHT_HAND_JOINTS = [21, *range(40, 55), *range(71, 76)]
FACE_JOINTS = [*range(55, 60), *range(76, 144)]


def label(image: np.ndarray, people: Sequence[Posed], drawing: Drawing, focal: float) -> Sample:
    """A Sample of the people, the first meshes of the drawing, who can be seen in it."""
    size = np.array(image.shape[1::-1], np.float32)
    seen, boxes, shares = [], [], []
    for i, posed in enumerate(people):
        box, inside = _box_and_share_inside(posed.vertices, focal, size)
        samples = int((drawing.owner == i).sum())
        # A share of the covered pixels inside the picture times a share of the vertices inside it: an approximation.
        share = inside * samples / max(drawing.covered[i], 1)
        if share >= MIN_VISIBLE and samples >= MIN_PIXELS * SUPERSAMPLING**2:
            seen.append(i)
            boxes.append(box)
            shares.append(share)

    def stacked(values: list, *shape: int) -> np.ndarray:
        return np.array(values, np.float32).reshape(len(seen), *shape)

    joints = stacked([people[i].joints for i in seen], 144, 3)
    visible = [joints_visible(people[i].joints, i, drawing, focal) for i in seen]
    return Sample(
        image=image,
        focal_px=focal,
        full_pose=stacked([people[i].full_pose for i in seen], 55, 3),
        betas=stacked([people[i].person.betas for i in seen], 10),
        expression=stacked([people[i].expression for i in seen], 10),
        transl=stacked([people[i].transl for i in seen], 3),
        joints=joints,
        joints_visible=np.array(visible, bool).reshape(len(seen), 144),
        boxes_xyxy_px=stacked(boxes, 4),
        left_hand_boxes_xyxy_px=_around(joints[:, LEFT_HAND_JOINTS], focal, size),
        right_hand_boxes_xyxy_px=_around(joints[:, RIGHT_HAND_JOINTS], focal, size),
        face_boxes_xyxy_px=_around(joints[:, FACE_JOINTS], focal, size),
        visible_fraction=stacked(shares),
    )


def _box_and_share_inside(vertices: np.ndarray, focal: float, size: np.ndarray) -> tuple[np.ndarray, float]:
    """The box (4,) around vertices (N, 3), clipped to the picture, and the share of them inside it."""
    ahead = vertices[vertices[:, 2] > raster.NEAR]
    if not len(ahead):
        return np.zeros(4, np.float32), 0.0
    points = ahead[:, :2] / ahead[:, 2:] * focal + size / 2
    inside = ((points >= 0) & (points < size)).all(-1).sum() / len(vertices)
    return np.concatenate([points.min(0).clip(0, size), points.max(0).clip(0, size)]), float(inside)


def joints_visible(joints: np.ndarray, person: int, drawing: Drawing, focal: float) -> np.ndarray:
    """(144,) bool: inside the picture, and what is seen there is the person or not much before the joint.

    joints: (144, 3) camera space. A joint that only the person's own body hides counts as visible.
    """
    height, width = drawing.depth.shape
    z = np.maximum(joints[:, 2], 1e-3)
    x = np.floor(joints[:, 0] / z * focal * SUPERSAMPLING + width / 2).astype(int)
    y = np.floor(joints[:, 1] / z * focal * SUPERSAMPLING + height / 2).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (joints[:, 2] > raster.NEAR)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    return inside & ((drawing.owner[y, x] == person) | (drawing.depth[y, x] > joints[:, 2] - JOINT_DEPTH))


def _around(joints: np.ndarray, focal: float, size: np.ndarray) -> np.ndarray:
    """(P, 4) boxes around joints (P, N, 3), a quarter larger, not clipped."""
    points = joints[..., :2] / np.maximum(joints[..., 2:], 1e-3) * focal + size / 2
    low, high = points.min(1), points.max(1)
    grow = (high - low) * 0.125
    return np.concatenate([low - grow, high + grow], -1).astype(np.float32)
