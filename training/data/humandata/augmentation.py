"""From a picture and its annotations to what the network sees: crop, flip, size and colour (SPEC section 13.5).

All chances are drawn first (`draw_view`), so that the same generator gives the same view whatever the picture's size;
one affine map then moves picture and labels together.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import (
    COCO17_FROM_137,
    FACE6_FROM_137,
    LEFT_HAND6_FROM_137,
    MIRROR_137,
    RIGHT_HAND6_FROM_137,
)
from aios_core.errors import DataSetError
from aios_core.geometry.rotations import mirror_axis_angle
from aios_core.model.framing import resize_size
from aios_core.model.preprocess import MEAN, STD
from training.data.humandata.columns import PARTS_OF_53, PARTS_OF_137
from training.data.humandata.dataset import Annotations
from training.data.humandata.kinds import Kind
from training.data.humandata.landmarks import full_pose, joints_137
from training.paper.targets import PictureTargets

SHORT_SIDES = tuple(range(480, 801, 32))
LONG_SIDE = 1333
ONE_PERSON = 0.6
"""Chance that a crop around some people is around exactly one."""
PARTS_6 = np.stack([LEFT_HAND6_FROM_137, RIGHT_HAND6_FROM_137, FACE6_FROM_137])
_PAIRS_53 = [(1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21)]
MIRROR_53 = np.arange(53)
for _left, _right in _PAIRS_53 + [(22 + k, 37 + k) for k in range(15)]:
    MIRROR_53[[_left, _right]] = _right, _left
MIRROR_BOXES = np.array([0, 2, 1, 3])
"""Body, left hand, right hand, face."""


@dataclass(frozen=True)
class Augmentation:
    """How much pictures are changed. `Augmentation(flip=0, gain=0, crop=False, short_sides=(800,))` changes nothing."""

    flip: float = 0.5
    gain: float = 0.2
    """Each colour channel is multiplied by 1 - gain .. 1 + gain."""
    crop: bool = True
    """Crop around people, as often as the data set's kind says."""
    short_sides: tuple[int, ...] = SHORT_SIDES
    long_side: int = LONG_SIDE
    antialias: bool = False
    """Average over areas where pictures shrink; the published model does not."""


PLAIN = Augmentation(flip=0, gain=0, crop=False, short_sides=(800,))
"""As in evaluation."""


@dataclass(frozen=True)
class View:
    """What is shown of a picture, and how."""

    crop: tuple[int, int, int, int]
    """x0 y0 x1 y1 pixels of the picture."""
    is_flipped: bool
    size: tuple[int, int]
    """(width, height) of the picture the network sees."""
    gain: np.ndarray
    """(3,)"""

    def moved(self, xy: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the picture in pixels of what the network sees."""
        x0, y0, x1, y1 = self.crop
        xy = (xy - np.array([x0, y0], np.float32)) * np.array(
            [self.size[0] / (x1 - x0), self.size[1] / (y1 - y0)], np.float32
        )
        if self.is_flipped:
            xy[..., 0] = self.size[0] - xy[..., 0]
        return xy


def read_picture(path: object) -> np.ndarray:
    """(H, W, 3) uint8 RGB as stored: labels refer to the pixels in the file, not to the camera's orientation flag.

    Raises:
        DataSetError: it is missing or cannot be decoded.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise DataSetError(
            f"The picture {path} is missing or cannot be read; `python -m training.data.check` lists all."
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def draw_view(
    size: tuple[int, int], boxes: np.ndarray, kind: Kind, augmentation: Augmentation, rng: np.random.Generator
) -> View:
    """A view of a picture of a size (width, height) with body boxes (P, 5) x0 y0 x1 y1 valid."""
    chances = rng.random(5)
    order, gain = rng.random(max(len(boxes), 1)), rng.uniform(1 - augmentation.gain, 1 + augmentation.gain, 3)
    crop = (0, 0, *size)
    people = np.flatnonzero((boxes[:, 4] > 0) & (boxes[:, :2] < size).all(-1) & (boxes[:, 2:4] > 0).all(-1))
    if augmentation.crop and chances[0] < kind.crop_probability and len(people):
        if chances[1] < kind.crop_share:
            count = 1 if chances[2] < ONE_PERSON else 1 + int(chances[3] * len(people))
            people = people[np.argsort(order[people])[:count]]
        crop = crop_around(boxes[people, :4], size)
    sides = augmentation.short_sides
    short = sides[min(int(chances[4] * len(sides)), len(sides) - 1)]
    target = resize_size(crop[2] - crop[0], crop[3] - crop[1], short, augmentation.long_side)
    return View(crop, bool(rng.random() < augmentation.flip), target, gain.astype(np.float32))


def crop_around(boxes: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The union of boxes (P, 4), grown to the picture's aspect ratio, moved inside it, in whole pixels."""
    width, height = size
    low = np.clip(boxes[:, :2].min(0), 0, [width - 1, height - 1])
    high = np.clip(boxes[:, 2:].max(0), low + 1, [width, height])
    share = float(((high - low) / [width, height]).max())  # of the picture, in both directions
    side = np.array([width, height]) * share
    start = np.clip((low + high - side) / 2, 0, [width, height] - side)
    x0, y0 = start.astype(int)
    x1, y1 = np.minimum((start + side).astype(int), [width, height])
    return int(x0), int(y0), max(int(x1), int(x0) + 1), max(int(y1), int(y0) + 1)


def show(rgb: np.ndarray, view: View, antialias: bool = False) -> np.ndarray:
    """The view (h, w, 3) uint8 of a picture (H, W, 3) uint8, colours untouched."""
    x0, y0, x1, y1 = view.crop
    part, width, height = rgb[y0:y1, x0:x1], *view.size
    if antialias:
        part = part[:, ::-1] if view.is_flipped else part
        shrinks = width < x1 - x0
        shown = cv2.resize(part, view.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    else:
        # x' = x w / W in pixel indices, and w - x' where flipped: exactly as labels move.
        matrix = np.array([[width / (x1 - x0), 0, 0], [0, height / (y1 - y0), 0]])
        if view.is_flipped:
            matrix[0] = -matrix[0, 0], 0, width
        part = np.ascontiguousarray(part)
        shown = cv2.warpAffine(part, matrix, view.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return shown


def coloured(shown: np.ndarray, gain: np.ndarray) -> Tensor:
    """(3, h, w) normalised, each channel of a picture (h, w, 3) uint8 multiplied by its gain (3,) before."""
    table = (np.clip(np.arange(256, dtype=np.float32)[:, None] * gain, 0, 255) - MEAN) / STD
    values = cv2.LUT(shown, table[None].astype(np.float32))
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def look(
    rgb: np.ndarray, annotations: Annotations, view: View, body: BodyModel, antialias: bool = False
) -> tuple[Tensor, PictureTargets]:
    """The picture (3, h, w) normalised, and its targets, as the view shows them.

    body: the annotated bodies' model, best reduced by `landmark_body`; hands are taken as relative to its mean hands.
    """
    return coloured(show(rgb, view, antialias), view.gain), targets(annotations, view, body)


def fitted(annotations: Annotations, size: tuple[int, int]) -> Annotations:
    """The annotations in pixels of a picture of a size (width, height), which may be stored smaller than labelled."""
    if annotations.labelled_size in (None, size):
        return annotations
    scale = np.array(size, np.float32) / annotations.labelled_size
    annotations.boxes[..., :4] *= np.tile(scale, 2)
    annotations.joints_2d[..., :2] *= scale
    return annotations


def targets(annotations: Annotations, view: View, body: BodyModel) -> PictureTargets:
    """What the network is to find in the view."""
    size = np.array(view.size, np.float32)
    boxes, is_left = _boxes(annotations.boxes, view)
    boxes_valid, keep = is_left * annotations.boxes[..., 4], is_left[:, 0]
    side, box_side = (MIRROR_137, MIRROR_BOXES) if view.is_flipped else (np.arange(137), np.arange(4))
    boxes, boxes_valid = boxes[keep][:, box_side], boxes_valid[keep][:, box_side]
    joints_2d = annotations.joints_2d[keep][:, side]
    points = view.moved(joints_2d[..., :2])
    inside = ((points >= 0) & (points < size)).all(-1) & (joints_2d[..., 2] > 0)
    joints_3d = annotations.joints_3d[keep][:, side]
    pose, pose_valid = annotations.pose[keep], annotations.pose_valid[keep]
    mirror = np.ones(3, np.float32)
    if view.is_flipped:
        mirror[0] = -1
        pose, pose_valid = mirror_axis_angle(pose[:, MIRROR_53]), pose_valid[:, MIRROR_53]
    betas, expression = annotations.betas[keep], annotations.expression[keep]
    joints = joints_137(body, full_pose(pose, body, True), betas, expression, annotations.transl[keep] * mirror)
    fractions = points / size
    arrays = {
        "boxes": boxes[:, 0], "boxes_valid": boxes_valid[:, 0], "part_boxes": boxes[:, 1:],
        "part_boxes_valid": boxes_valid[:, 1:], "keypoints": fractions[:, COCO17_FROM_137],
        "keypoints_valid": inside[:, COCO17_FROM_137], "part_keypoints": fractions[:, PARTS_6],
        "part_keypoints_valid": inside[:, PARTS_6], "pose": pose, "pose_valid": pose_valid, "betas": betas,
        "betas_valid": annotations.shape_valid[keep, 0], "expression": expression,
        "expression_valid": annotations.shape_valid[keep, 1], "joints_3d": joints_3d[..., :3] * mirror,
        "joints_3d_valid": joints_3d[..., 3], "body_joints_3d": joints,
        "body_joints_3d_valid": _joints_valid(pose_valid), "joints_2d": fractions,
        "joints_2d_valid": joints_2d[..., 2] * inside,
    }  # fmt: skip
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()}
    return PictureTargets(image_size_px=view.size, has_3d=annotations.has_3d, **tensors)


def _boxes(boxes: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (P, 4, 5) clipped to the view, cxcywh fractions (P, 4, 4), and (P, 4) whether anything of them is left."""
    size = np.array(view.size, np.float32)
    corners = view.moved(boxes[..., :4].reshape(*boxes.shape[:2], 2, 2))
    low, high = np.clip(corners.min(-2), 0, size) / size, np.clip(corners.max(-2), 0, size) / size
    is_left = (high > low).all(-1)
    return np.concatenate([(low + high) / 2, high - low], -1) * is_left[..., None], is_left


def _joints_valid(pose_valid: np.ndarray) -> np.ndarray:
    """(P, 137) which joints of the annotated body are to be trusted: those of the parts whose pose is."""
    valid = np.repeat(pose_valid[:, :1], 137, 1)
    for joints, rotations in zip(PARTS_OF_137, PARTS_OF_53, strict=True):
        valid[:, joints] = pose_valid[:, rotations].min(1, keepdims=True)
    return valid
