"""From labelled pictures to a batch: how they are seen, and targets in the network's units."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from aios_core.body.joints import (
    COCO17_FROM_137,
    FACE6_FROM_137,
    JOINTS_137_FROM_144,
    LEFT_HAND6_FROM_137,
    MIRROR_55,
    MIRROR_137,
    RIGHT_HAND6_FROM_137,
)  # fmt: skip
from aios_core.body.skinning import mirrored_pose
from aios_core.config import ModelConfig
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.model.framing import Framing, framing
from aios_core.model.preprocess import MEAN
from training.config import TrainConfig
from training.data.sample import MAX_PEOPLE, Sample, joints_px
from training.views import AS_IT_IS, Undrawn, View, draw_colours, drawn, undrawn

SHAPES = (0.3, (1.25, 1.55)), (0.25, (1.6, 1.9)), (0.3, (0.5, 0.8)), (0.15, (0.8, 2.4))
"""Shares of photographs, films, upright pictures and others, and their width by height."""
ZOOMED_SHARE = 0.6
"""Of the pictures that show one sample."""
TILE_PERSON = 0.4, 1.1
"""Height of the person whom a tile is cropped around, in heights of the picture."""
MIN_BOX_SIDE = 6.0
MIN_BOX_SHARE = 0.25
"""A person of whom less than this share of the box is left after cropping is not a target."""


@dataclass(frozen=True)
class Targets:
    """G people a picture, padded; positions in fractions of the picture (x / width, y / height)."""

    valid: Tensor
    """(B, G) bool: a person, not padding."""
    boxes: Tensor
    """(B, G, 4) cxcywh, clipped to the picture."""
    keypoints: Tensor
    """(B, G, 17, 2) COCO."""
    keypoints_weight: Tensor
    """(B, G, 17): 1 seen, less where inside the picture but hidden, 0 outside."""
    part_boxes: Tensor
    """(B, G, 3, 4): left hand, right hand, face."""
    part_valid: Tensor
    """(B, G, 3) 1 where most of the part is seen."""
    part_keypoints: Tensor
    """(B, G, 3, 6, 2)"""
    rotmats: Tensor
    """(B, G, 55, 3, 3)"""
    betas: Tensor
    expression: Tensor
    joints: Tensor
    """(B, G, 55, 3) metres, from the pelvis."""
    joints_px: Tensor
    """(B, G, 55, 2) pixels of the training picture."""
    camera: Tensor
    """(B, G, 3) (s, tx, ty) for the model's focal length that puts the joints where they are."""


def batch(
    pictures: list[tuple[Sample, ...]],
    config: TrainConfig,
    model: ModelConfig,
    rng: np.random.Generator,
    augment: bool = True,
) -> tuple[Tensor, Targets]:
    """Pictures (B, H, W, 3) uint8 RGB of one shape for a network, each of the samples given for it, and targets.

    Samples that share a picture, two at most, lie side by side, or one above the other where it is upright. Without
    augmentation the first sample's shape is everyone's.
    """
    seen, placed, targets = views(pictures, config, model, rng, augment)
    images = np.stack([_picture(samples, placed) for samples in seen])
    return torch.from_numpy(images), targets


def undrawn_batch(
    pictures: list[tuple[Sample, ...]], config: TrainConfig, model: ModelConfig, rng: np.random.Generator
) -> tuple[Undrawn, Targets]:
    """The same, its pictures to be drawn where the network is."""
    seen, placed, targets = views(pictures, config, model, rng)
    return undrawn(seen, placed, _axis(placed)), targets


def views(
    pictures: list[tuple[Sample, ...]],
    config: TrainConfig,
    model: ModelConfig,
    rng: np.random.Generator,
    augment: bool = True,
) -> tuple[list[list[tuple[np.ndarray, View]]], Framing, Targets]:
    """For each picture the images of its samples and how they are seen; how pictures lie in the canvas; targets."""
    height, width = pictures[0][0].image.shape[:2]
    placed = framing(*((round(1000 * _shape(rng)), 1000) if augment else (width, height)), model)
    prepared = [_prepare(samples, placed, config, model, rng, augment) for samples in pictures]
    names = [f.name for f in fields(Targets)]
    stacked = {name: torch.from_numpy(np.stack([target[name] for _, target in prepared])) for name in names}
    return [seen for seen, _ in prepared], placed, Targets(**stacked)


def first_people(targets: Targets, count: int) -> Targets:
    """The first `count` people of each picture, without padding that no picture needs; one at least."""
    count = max(1, min(count, int(targets.valid.sum(1).max())))
    return Targets(**{name: value[:, :count] for name, value in vars(targets).items()})


def mirrored(sample: Sample) -> Sample:
    """The sample seen in a mirror: left and right change places in the picture and in the labels."""
    return replace(with_mirrored_labels(sample), image=cv2.flip(sample.image, 1))


def with_mirrored_labels(sample: Sample) -> Sample:
    """The same, with the picture as it was."""
    width = sample.image.shape[1]
    flip = np.array([-1, 1, 1], np.float32)

    def boxes(b: np.ndarray) -> np.ndarray:
        return np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], -1)

    return Sample(
        image=sample.image, focal_px=sample.focal_px,
        full_pose=mirrored_pose(sample.full_pose), betas=sample.betas, expression=sample.expression,
        transl=sample.transl * flip, joints=sample.joints[:, _MIRROR_144] * flip,
        joints_visible=sample.joints_visible[:, _MIRROR_144], boxes_xyxy_px=boxes(sample.boxes_xyxy_px),
        left_hand_boxes_xyxy_px=boxes(sample.right_hand_boxes_xyxy_px),
        right_hand_boxes_xyxy_px=boxes(sample.left_hand_boxes_xyxy_px),
        face_boxes_xyxy_px=boxes(sample.face_boxes_xyxy_px), visible_fraction=sample.visible_fraction,
    )  # fmt: skip


def _mirror_144() -> np.ndarray:
    order = np.arange(144)
    order[JOINTS_137_FROM_144] = JOINTS_137_FROM_144[MIRROR_137]
    order[:55] = MIRROR_55
    return order


_MIRROR_144 = _mirror_144()


def _shape(rng: np.random.Generator) -> float:
    """Width by height of the pictures of a batch."""
    shares, ranges = zip(*SHAPES, strict=True)
    return float(np.exp(rng.uniform(*np.log(ranges[rng.choice(len(SHAPES), p=shares)]))))


def _prepare(
    samples: tuple[Sample, ...],
    placed: Framing,
    config: TrainConfig,
    model: ModelConfig,
    rng: np.random.Generator,
    augment: bool,
) -> tuple[list[tuple[np.ndarray, View]], dict[str, np.ndarray]]:
    """How the samples of one picture are seen, and its targets, the largest people first."""
    along, size = _axis(placed), np.array(placed.resized)
    size[along] //= len(samples)
    seen, found = [], []
    for number, sample in enumerate(samples):
        is_mirrored = augment and rng.random() < 0.5
        sample = with_mirrored_labels(sample) if is_mirrored else sample
        zoom, shift = _crop(sample, size, len(samples) > 1, config.max_zoom, rng, augment)
        low = np.array(placed.corner)
        low[along] += number * size[along]
        colours = draw_colours(rng) if augment else AS_IT_IS
        seen.append((sample.image, View(zoom, shift, low, size, is_mirrored, colours)))
        bounds = np.concatenate((low, low + size)).astype(np.float32)
        found.append(_targets(sample, zoom, shift + bounds[:2], bounds, placed.canvas, model.camera_focal_px))
    arrays = {name: np.concatenate([targets[name] for targets in found]) for name in found[0]}
    order = np.argsort(-arrays["boxes"][:, 3], kind="stable")[:MAX_PEOPLE]
    return seen, {name: _padded(array[order]) for name, array in arrays.items()}


def _axis(placed: Framing) -> int:
    """The axis along which samples follow each other, 0 = x."""
    return int(placed.resized[1] > placed.resized[0])


def _picture(seen: list[tuple[np.ndarray, View]], placed: Framing) -> np.ndarray:
    """(H, W, 3) uint8: the samples in the grey canvas."""
    picture = np.full((*placed.canvas[::-1], 3), np.round(MEAN), np.uint8)
    for image, view in seen:
        (x, y), (width, height) = view.corner, view.size
        picture[y : y + height, x : x + width] = drawn(image, view)
    return picture


def _crop(
    sample: Sample,
    size: np.ndarray,
    is_tile: bool,
    max_zoom: float,
    rng: np.random.Generator,
    augment: bool,
) -> tuple[float, np.ndarray]:
    """Zoom and shift (pixels) of the crop to a (width, height) size: x' = zoom * x + shift.

    It is filled. A tile shows one of the people large; a whole picture is shown as far as its shape lets it, or
    cropped around somebody.
    """
    old, new = np.array(sample.image.shape[1::-1]), size
    boxes = sample.boxes_xyxy_px
    person = boxes[rng.integers(len(boxes))] if augment and len(boxes) else None
    fit = float((new / old).max())
    zoom = fit
    if is_tile and person is not None:
        wanted = rng.uniform(*TILE_PERSON) * new[1] / max(person[3] - person[1], 1)
        zoom = float(np.clip(wanted, fit, max_zoom * fit))
    elif augment and rng.random() < ZOOMED_SHARE:
        zoom = float(fit * np.exp(rng.uniform(0, np.log(max_zoom))))
    slack = new - zoom * old
    shift = slack * (rng.random(2) if augment else 0.5)
    if person is not None:
        center = zoom * (person[:2] + person[2:]) / 2
        shift = np.clip(new * rng.uniform(0.25, 0.75, 2) - center, np.minimum(slack, 0), 0)
    return zoom, shift.astype(np.float32)


def _targets(
    sample: Sample, zoom: float, shift: np.ndarray, tile: np.ndarray, canvas: tuple[int, int], focal_px: float
) -> dict[str, np.ndarray]:
    """Targets of a sample of which the part in `tile` (4,), corners in pixels of the canvas, is seen."""
    size = np.array(canvas, np.float32)
    points = joints_px(sample) * zoom + shift  # (P, 144, 2)
    inside = ((points >= tile[:2]) & (points < tile[2:])).all(-1)
    seen = np.where(sample.joints_visible, 1.0, 0.3) * inside
    boxes = sample.boxes_xyxy_px * zoom + np.tile(shift, 2)
    clipped = np.clip(boxes, np.tile(tile[:2], 2), np.tile(tile[2:], 2))
    sides = clipped[:, 2:] - clipped[:, :2]
    share = sides.prod(-1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(-1), 1e-6)
    keep = (sides.min(-1) > MIN_BOX_SIDE) & (share > MIN_BOX_SHARE)
    parts = np.stack(
        [sample.left_hand_boxes_xyxy_px, sample.right_hand_boxes_xyxy_px, sample.face_boxes_xyxy_px], 1
    ) * zoom + np.tile(shift, 2)
    p137, s137 = points[:, JOINTS_137_FROM_144], seen[:, JOINTS_137_FROM_144]
    six = np.stack([LEFT_HAND6_FROM_137, RIGHT_HAND6_FROM_137, FACE6_FROM_137])
    relative = sample.joints[:, :55] - sample.joints[:, :1]
    arrays = {
        "valid": np.ones(len(points), bool),
        "boxes": _cxcywh(clipped) / np.tile(size, 2),
        "keypoints": p137[:, COCO17_FROM_137] / size,
        "keypoints_weight": s137[:, COCO17_FROM_137],
        "part_boxes": _cxcywh(parts) / np.tile(size, 2),
        "part_valid": (s137[:, six].mean(-1) > 0.6).astype(np.float32),
        "part_keypoints": p137[:, six] / size,
        "rotmats": axis_angle_to_rotmat(sample.full_pose),
        "betas": sample.betas,
        "expression": sample.expression,
        "joints": relative,
        "joints_px": points[:, :55],
        "camera": fit_camera(sample.joints[:, :22], sample.transl, points[:, :22], size, focal_px),
    }
    return {name: array[keep] for name, array in arrays.items()}


def fit_camera(
    joints: np.ndarray, transl: np.ndarray, points_px: np.ndarray, size: np.ndarray, focal_px: float
) -> np.ndarray:
    """Cameras (P, 3) = (s, tx, ty) that put joints (P, J, 3) on points (P, J, 2) best, in least squares.

    joints hold transl (P, 3) already; the answer is for joints without it. With u = (points - centre) / focal,
    X + t_x = u (Z + t_z) is linear in the translation t.
    """
    local = joints - transl[:, None]
    u = (points_px - size / 2) / focal_px  # (P, J, 2)
    count = joints.shape[1]
    answer = np.zeros((len(joints), 3), np.float32)
    for i in range(len(joints)):
        system = np.zeros((2 * count, 3))
        system[:count, 0] = system[count:, 1] = 1
        system[:count, 2], system[count:, 2] = -u[i, :, 0], -u[i, :, 1]
        right = np.concatenate(
            [u[i, :, 0] * local[i, :, 2] - local[i, :, 0], u[i, :, 1] * local[i, :, 2] - local[i, :, 1]]
        )
        x, y, z = np.linalg.lstsq(system, right, rcond=None)[0]
        z = max(z, 0.1)
        answer[i] = 1 / z, x / z, y / z
    return answer


def _cxcywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], -1)


def _padded(array: np.ndarray) -> np.ndarray:
    out = np.zeros((MAX_PEOPLE, *array.shape[1:]), bool if array.dtype == bool else np.float32)
    out[: len(array)] = array
    return out
