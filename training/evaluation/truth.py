"""What is true of a picture: from shards of synthetic people and from HumanData files, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import JOINTS_137_FROM_144
from aios_core.errors import DataSetError
from aios_core.media.image import IMAGE_SUFFIXES
from training.data.humandata.augmentation import fitted, read_picture
from training.data.humandata.columns import BODY_OF_53, PARTS_OF_53
from training.data.humandata.dataset import Annotations, DataSet
from training.data.humandata.kinds import Kind
from training.data.humandata.landmarks import full_pose
from training.data.sample import Sample, Shard, joints_px, list_shards, read_shard, without_people

HARDLY_VISIBLE = 90.0
"""From this percentage of occlusion on people are ignored in evaluation (AGORA's isValid)."""


@dataclass(frozen=True)
class Truth:
    """One picture and its P people, in pixels of the picture."""

    name: str
    rgb: np.ndarray
    """(H, W, 3) uint8"""
    boxes_xyxy_px: np.ndarray
    """(P, 4) clipped to the picture."""
    ignored: np.ndarray
    """(P,) bool: neither to be found nor wrong to be found."""
    joints_px: np.ndarray
    """(P, 137, 2)"""
    joints_known: np.ndarray
    """(P, 137) bool: annotated, be it hidden or outside of the picture;"""
    joints_seen: np.ndarray
    """(P, 137) bool: inside the picture and, where that is known, not hidden."""
    part_boxes_xyxy_px: np.ndarray
    """(P, 3, 4) left hand, right hand, face."""
    pose: np.ndarray
    """(P, 55, 3) axis-angle, hands absolute."""
    betas: np.ndarray
    """(P, 10) of the body that evaluation is told to use, and so is"""
    expression: np.ndarray
    """(P, 10)"""
    body_known: np.ndarray
    """(P,) bool: the body's pose is annotated;"""
    parts_known: np.ndarray
    """(P, 3) bool: and so are the hands' and the jaw's."""


class Truths(Protocol):
    """Pictures to be measured on, each read when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Truth: ...


class ShardTruths:
    """The first `count` pictures of a folder of shards.

    Raises:
        DataSetError: there are no shards.
    """

    def __init__(self, folder: Path, count: int):
        self.shards: list[Shard] = [read_shard(folder, number) for number in list_shards(folder)]
        self.count = min(sum(map(len, self.shards)), count)
        if not self.count:
            raise DataSetError(f"There are no shards (labels-*.npz) in {folder}.")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Truth:
        at = i
        for shard in self.shards:
            if at < len(shard):
                return truth_of_sample(shard.sample(at), f"{i}")
            at -= len(shard)
        raise IndexError(i)


class HumanDataTruths:
    """`count` pictures, evenly spread, of a HumanData file.

    body: the annotated parameters' body. absolute_hands: the file's hands are not relative to its mean hands.

    Raises:
        DataSetError: the file cannot be used.
    """

    def __init__(
        self, path: Path, images: Path, kind: Kind, body: BodyModel, count: int, absolute_hands: bool = False
    ):  # fmt: skip
        strict = kind if kind.max_occlusion is None else replace(kind, max_occlusion=HARDLY_VISIBLE)
        self.data = DataSet(strict, path, images)
        self.body, self.absolute_hands = body, absolute_hands
        if not len(self.data):
            raise DataSetError(f"Nobody is annotated in {path}.")
        self.numbers = np.unique(np.linspace(0, len(self.data) - 1, min(count, len(self.data))).astype(int))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> Truth:
        annotations = self.data.annotations(int(self.numbers[i]))
        rgb = read_picture(annotations.image_path)
        annotations = fitted(annotations, (rgb.shape[1], rgb.shape[0]))
        return truth_of_annotations(annotations, rgb, self.body, self.absolute_hands)


class EmptyTruths:
    """The pictures of a folder, in the order of names, in none of which there is anybody.

    Raises:
        DataSetError: there are no pictures.
    """

    def __init__(self, folder: Path, count: int):
        found = folder.iterdir() if folder.is_dir() else ()
        self.paths = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)[:count]
        if not self.paths:
            raise DataSetError(f"There are no pictures in {folder}.")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Truth:
        rgb = read_picture(self.paths[i])
        return truth_of_sample(without_people(rgb, float(max(rgb.shape))), self.paths[i].name)


def truth_of_sample(sample: Sample, name: str) -> Truth:
    """What is true of a synthetic picture: everything is known."""
    points = joints_px(sample)[:, JOINTS_137_FROM_144]
    people = len(points)
    parts = (sample.left_hand_boxes_xyxy_px, sample.right_hand_boxes_xyxy_px, sample.face_boxes_xyxy_px)
    return Truth(
        name=name, rgb=sample.image, boxes_xyxy_px=sample.boxes_xyxy_px, ignored=np.zeros(people, bool),
        joints_px=points, joints_known=np.ones((people, 137), bool),
        joints_seen=sample.joints_visible[:, JOINTS_137_FROM_144] & _inside(points, sample.image),
        part_boxes_xyxy_px=np.stack(parts, 1), pose=sample.full_pose, betas=sample.betas,
        expression=sample.expression, body_known=np.ones(people, bool), parts_known=np.ones((people, 3), bool),
    )  # fmt: skip


def truth_of_annotations(
    annotations: Annotations, rgb: np.ndarray, body: BodyModel, absolute_hands: bool = False
) -> Truth:
    """What is annotated in a picture; people of whom nothing but a box is known are ignored."""
    size = np.tile(rgb.shape[1::-1], 2).astype(np.float32)
    boxes = np.clip(annotations.boxes[:, 0, :4], 0, size)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(-1)
    points, known = annotations.joints_2d[keep, :, :2], annotations.joints_2d[keep, :, 2] > 0
    pose_valid = annotations.pose_valid[keep] > 0
    parts = np.stack([pose_valid[:, part].all(1) for part in PARTS_OF_53], 1)
    return Truth(
        name=annotations.image_path.name, rgb=rgb, boxes_xyxy_px=boxes[keep],
        ignored=~known.any(-1) | (annotations.boxes[keep, 0, 4] == 0), joints_px=points, joints_known=known,
        joints_seen=known & _inside(points, rgb), part_boxes_xyxy_px=annotations.boxes[keep, 1:, :4],
        pose=full_pose(annotations.pose[keep], body, hands_relative=not absolute_hands),
        betas=annotations.betas[keep], expression=annotations.expression[keep],
        body_known=pose_valid[:, BODY_OF_53].all(1) & (annotations.shape_valid[keep, 0] > 0), parts_known=parts,
    )  # fmt: skip


def _inside(points: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    return ((points >= 0) & (points < np.array(rgb.shape[1::-1]))).all(-1)
