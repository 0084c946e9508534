"""Columns: what training needs of a HumanData file, one row a person, float32, validity settled by the set's rules.

A file's members are read once, in blocks; what is missing, or is no number, becomes zeros that are not valid.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from aios_core.body.joints import JOINTS_137_FROM_144
from aios_core.errors import DataSetError
from training.data.humandata.archive import Archive
from training.data.humandata.kinds import KEYPOINTS_3D, Kind

PARTS_OF_137 = (slice(25, 45), slice(45, 65), slice(65, 137))
"""Left hand, right hand, face among the 137 joints; those before are the body's."""
PARTS_OF_53 = (slice(22, 37), slice(37, 52), slice(52, 53))
"""Left hand, right hand, jaw among the 53 rotations."""
BODY_OF_53 = slice(0, 22)
PART_BOXES = ("lhand_bbox_xywh", "rhand_bbox_xywh", "face_bbox_xywh")
PART_VALID = ("lefthand_valid", "righthand_valid", "face_valid")


@dataclass(frozen=True)
class Columns:
    """What is kept of a file; R people (rows) in M pictures."""

    image_paths: np.ndarray
    """(M,) bytes: UTF-8 paths below the image folder."""
    starts: np.ndarray
    """(M + 1,) rows at which each picture's people begin; the last is R."""
    sizes: np.ndarray
    """(M, 2) (width, height) of the picture the labels were made for; 0 where the file does not say."""
    boxes: np.ndarray
    """(R, 4, 5) body, left hand, right hand, face: x0 y0 x1 y1 pixels, and 1 where valid."""
    joints_2d: np.ndarray
    """(R, 137, 3) x y pixels, confidence."""
    joints_3d: np.ndarray
    """(R, 137, 4) metres, confidence."""
    pose: np.ndarray
    """(R, 53, 3) axis-angle: 22 of the body, 15 of each hand as stored, jaw."""
    pose_valid: np.ndarray
    """(R, 53)"""
    shape: np.ndarray
    """(R, 10) betas."""
    expression: np.ndarray
    """(R, 10)"""
    transl: np.ndarray
    """(R, 3) metres."""
    shape_valid: np.ndarray
    """(R, 2) betas and expression."""


COLUMNS = tuple(f.name for f in fields(Columns))


@dataclass(frozen=True)
class Meta:
    """A file's dict of lists, of which any may be missing or of another kind."""

    entries: dict
    people: int

    def numbers(self, name: str) -> np.ndarray:
        """An entry as numbers (n,), none if it has none; what is no number is zero."""
        try:
            return np.nan_to_num(np.asarray(self.entries[name], np.float32).reshape(-1), posinf=0, neginf=0)
        except (KeyError, ValueError, TypeError):
            return np.zeros(0, np.float32)

    def per_person(self, name: str, default: float) -> np.ndarray:
        """(people,) an entry with a number for each, or the default."""
        values = self.numbers(name)
        return values if len(values) == self.people else np.full(self.people, default, np.float32)


def read_columns(kind: Kind, path: Path, every: int = 1) -> Columns:
    """The columns of every so many pictures of a file.

    Raises:
        DataSetError: the file is missing, unsafe, damaged, or lacks what is needed.
    """
    with Archive(path) as archive:
        for name in ("image_path", "bbox_xywh"):
            if name not in archive:
                raise DataSetError(_lacking(archive, name))
        meta = archive.read("meta") if "meta" in archive else {}
        meta = Meta(meta if isinstance(meta, dict) else {}, _people(archive))
        paths, ranges, pictures = _pictures(archive, _wanted(meta, kind), every)
        rows = np.concatenate([*(np.flatnonzero(keep) + start for start, keep in ranges), np.zeros(0, int)]).astype(int)
        counts = [int(keep.sum()) for _, keep in ranges]
        boxes = _boxes(archive, rows)
        if kind.meta_validity:
            for k, name in enumerate(PART_VALID):
                boxes[:, 1 + k, 4] *= meta.per_person(name, 1.0)[rows]
        valid = meta.per_person("smplx_valid", 1.0)[rows] > 0
        part_valid = _part_validity(archive, boxes)
        joints_2d = _joints(archive, kind.keypoints_2d, rows, 3)
        joints_3d = _joints(archive, KEYPOINTS_3D, rows, 4)
        parameters = _parameters(archive, rows, valid, part_valid)
    _weigh_joints(kind, joints_2d, joints_3d, part_valid)
    columns = Columns(
        image_paths=np.array([os.fsencode(path) for path in paths], "S"), starts=np.cumsum([0, *counts]),
        sizes=_sizes(meta, np.array([start for start, _ in ranges], int), pictures), boxes=boxes, joints_2d=joints_2d,
        joints_3d=joints_3d, **parameters,
    )  # fmt: skip
    if kind.max_occlusion is not None:
        _hide(columns, meta.per_person("occ", 0.0)[rows] >= kind.max_occlusion)
    return columns


def _lacking(archive: Archive, name: str) -> str:
    if "data_len" in archive and "data_strategy" in archive:
        return f"{archive.path} is a cache of another program: give the HumanData file it was made from."
    return f"{archive.path} is not a HumanData file: it lacks '{name}'."


def _pictures(
    archive: Archive, wanted: np.ndarray, every: int
) -> tuple[list[str], list[tuple[int, np.ndarray]], np.ndarray]:
    """Path, (first row, which people stay) and number of every so many pictures that have somebody in them."""
    people = len(wanted)
    try:
        paths = [str(path) for path in np.asarray(archive.read("image_path")).reshape(-1)]
        ranges = np.stack([np.arange(people), np.arange(people) + 1], -1)
        if "frame_range" in archive:
            ranges = np.asarray(archive.read("frame_range")).astype(int).reshape(-1, 2)
    except (ValueError, TypeError) as error:
        raise DataSetError(f"{archive.path}: 'image_path' or 'frame_range' is no list of paths or rows.") from error
    if len(ranges) and (ranges.min() < 0 or ranges.max() > people or (ranges[:, 1] < ranges[:, 0]).any()):
        raise DataSetError(f"{archive.path}: 'frame_range' points outside of the {people} people.")
    if len(paths) not in (people, len(ranges)):
        raise DataSetError(
            f"{archive.path}: 'image_path' has {len(paths)} entries for {people} people in {len(ranges)} pictures."
        )
    by_row = len(paths) == people and len(paths) != len(ranges)
    used = [i for i in range(0, len(ranges), every) if wanted[ranges[i, 0] : ranges[i, 1]].any()]
    numbers = np.array(sorted(used, key=lambda i: ranges[i, 0]), int)
    if (ranges[numbers[1:], 0] < ranges[numbers[:-1], 1]).any():
        raise DataSetError(f"{archive.path}: in 'frame_range' some people belong to two pictures.")
    chosen = [(int(start), wanted[start:stop]) for start, stop in ranges[numbers]]
    return [paths[ranges[i, 0] if by_row else i] for i in numbers], chosen, numbers


def _people(archive: Archive) -> int:
    shape, dtype = archive.header("bbox_xywh")
    if len(shape) != 2 or shape[1] not in (4, 5) or dtype.kind not in "fiu":
        raise DataSetError(f"{archive.path}: 'bbox_xywh' has the shape {shape}, not (people, 5) numbers.")
    return shape[0]


def _wanted(meta: Meta, kind: Kind) -> np.ndarray:
    """(people,) bool: who is not marked as unlabelled or as a crowd, where the data set has such marks."""
    if not kind.meta_validity:
        return np.ones(meta.people, bool)
    return (meta.per_person("valid_label", 1.0) > 0) & (meta.per_person("iscrowd", 0.0) == 0)


def _sizes(meta: Meta, starts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(M, 2) sizes that meta states a row, a picture or once for all; zeros where it does not."""
    sizes = np.zeros((len(starts), 2), np.int32)
    for k, name in enumerate(("width", "height")):
        values = meta.numbers(name)
        which = starts if len(values) == meta.people else numbers
        if len(values) == 1:
            sizes[:, k] = values[0]
        elif len(which) and which.max() < len(values):
            sizes[:, k] = values[which]
    return np.where((sizes > 0).all(-1, keepdims=True), sizes, 0)


def _boxes(archive: Archive, rows: np.ndarray) -> np.ndarray:
    boxes = np.zeros((len(rows), 4, 5), np.float32)
    for k, name in enumerate(("bbox_xywh", *PART_BOXES)):
        if name not in archive:
            continue
        shape, _ = archive.header(name)
        if len(shape) != 2 or shape[1] not in (4, 5):
            raise DataSetError(f"{archive.path}: '{name}' has the shape {shape}, not (people, 5).")
        box = archive.read_rows(name, rows, lambda block: block.astype(np.float32))
        if box.shape[1] == 4:
            box = np.concatenate([box, np.ones_like(box[:, :1])], 1)
        finite = np.isfinite(box).all(-1) & (box[:, 2:4] > 0).all(-1)
        box[:, 2:4] += box[:, :2]
        box[:, 4] = finite & (box[:, 4] > 0)
        boxes[:, k] = np.where(finite[:, None], box, 0)
    return boxes


def _part_validity(archive: Archive, boxes: np.ndarray) -> np.ndarray:
    """(R, 3) what the part boxes say of the parts; 1 where a file has no such boxes."""
    stated = np.array([name in archive for name in PART_BOXES])
    return np.where(stated, boxes[:, 1:, 4], 1.0).astype(np.float32)


def _joints(archive: Archive, names: tuple[str, ...], rows: np.ndarray, size: int) -> np.ndarray:
    """(R, 137, size) of the first member that there is, confidence last; zeros if there is none."""
    name = next((name for name in names if name in archive), None)
    if name is None:
        return np.zeros((len(rows), 137, size), np.float32)
    shape, _ = archive.header(name)
    if len(shape) != 3 or shape[2] not in (size - 1, size):
        raise DataSetError(f"{archive.path}: '{name}' has the shape {shape}, not (people, joints, {size}).")
    columns = _columns_of_137(archive, name, shape[1])

    def pick(block: np.ndarray) -> np.ndarray:
        joints = np.zeros((len(block), 137, size), np.float32)
        present = columns >= 0
        picked = block[:, columns[present]].astype(np.float32)
        if shape[2] < size:
            picked = np.concatenate([picked, np.ones_like(picked[..., :1])], -1)
        joints[:, present] = np.where(np.isfinite(picked).all(-1, keepdims=True), picked, 0)
        return joints

    return archive.read_rows(name, rows, pick)


def _columns_of_137(archive: Archive, name: str, count: int) -> np.ndarray:
    """(137,) for each joint its column in a member with `count` columns, -1 where it has none."""
    mask_name = f"{name}_mask"
    place = np.arange(count)
    if mask_name in archive:
        mask = np.asarray(archive.read(mask_name)).reshape(-1) > 0
        if mask.sum() == count:
            place = np.where(mask, np.cumsum(mask) - 1, -1)
        elif len(mask) == count:
            place = np.where(mask, place, -1)
    if len(place) == 137:
        return place
    if len(place) not in (144, 190):  # HumanData's 190 begin with SMPL-X's 144
        raise DataSetError(f"{archive.path}: '{name}' has {len(place)} joints a person, not 144 or 190.")
    return place[JOINTS_137_FROM_144]


def _weigh_joints(kind: Kind, joints_2d: np.ndarray, joints_3d: np.ndarray, part_valid: np.ndarray) -> None:
    if kind.part_validity_of_joints:
        for k, part in enumerate(PARTS_OF_137):
            joints_2d[:, part, 2] *= part_valid[:, k, None]
            joints_3d[:, part, 3] *= part_valid[:, k, None]
    if kind.joints_3d_seen_in_2d:
        joints_3d[..., 3] = joints_2d[..., 2]


def _parameters(archive: Archive, rows: np.ndarray, valid: np.ndarray, part_valid: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of the body model's parameters and their validity."""
    model = next((name for name in ("smplx", "smplh", "smpl") if name in archive), None)
    stored = archive.read(model) if model else {}
    if not isinstance(stored, dict):
        raise DataSetError(f"{archive.path}: '{model}' is not a dict of parameters.")
    is_smplx, has_hands = model == "smplx", model in ("smplx", "smplh")
    pose, pose_valid = np.zeros((len(rows), 53, 3), np.float32), np.zeros((len(rows), 53), np.float32)
    # SMPL's 23 body rotations begin with SMPL-X's 21.
    for name, where, part in (
        ("global_orient", slice(0, 1), None), ("body_pose", slice(1, 22), None),
        ("left_hand_pose", PARTS_OF_53[0], 0), ("right_hand_pose", PARTS_OF_53[1], 1), ("jaw_pose", PARTS_OF_53[2], 2),
    ):  # fmt: skip
        if name not in stored or not (part is None or is_smplx or (has_hands and part < 2)):
            continue
        width = (where.stop - where.start) * 3
        values = _numbers(archive, f"{model}.{name}", stored[name], rows, width).reshape(-1, width // 3, 3)
        known = np.isfinite(values).all((1, 2)) & valid
        pose[:, where] = np.where(known[:, None, None], values, 0)
        pose_valid[:, where] = (known * (1.0 if part is None else part_valid[:, part]))[:, None]
    betas, betas_known = _coefficients(archive, stored, ("betas_neutral", "betas") if is_smplx else (), rows, valid)
    expression, expression_known = _coefficients(archive, stored, ("expression",) if is_smplx else (), rows, valid)
    transl = np.zeros((len(rows), 3), np.float32)
    if "transl" in stored:
        transl = np.nan_to_num(_numbers(archive, f"{model}.transl", stored["transl"], rows, 3))
    shape_valid = np.stack([betas_known, expression_known * part_valid[:, 2]], -1).astype(np.float32)
    return {
        "pose": pose, "pose_valid": pose_valid, "shape": betas, "expression": expression, "transl": transl,
        "shape_valid": shape_valid,
    }  # fmt: skip


def _rows_of(archive: Archive, name: str, stored: object, rows: np.ndarray) -> np.ndarray:
    """(R, numbers a person) of a dict's array, whatever way its rows are shaped."""
    try:
        values = np.asarray(stored)
        return values.reshape(len(values), math.prod(values.shape[1:]))[rows].astype(np.float32)
    except (ValueError, TypeError, IndexError) as error:
        raise DataSetError(f"{archive.path}: '{name}' is not an array with a row for every person.") from error


def _numbers(archive: Archive, name: str, stored: object, rows: np.ndarray, width: int) -> np.ndarray:
    """(R, width) numbers of a dict's array; of SMPL's 69 body numbers the first 63."""
    values = _rows_of(archive, name, stored, rows)
    if values.shape[1] != width and (width, values.shape[1]) != (63, 69):
        raise DataSetError(f"{archive.path}: '{name}' has {values.shape[1]} numbers a person, not {width}.")
    return values[:, :width]


def _coefficients(
    archive: Archive, stored: dict, names: tuple[str, ...], rows: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first ten coefficients (R, 10), zeros behind shorter ones, and (R,) whether they are known."""
    name = next((name for name in names if name in stored), None)
    out = np.zeros((len(rows), 10), np.float32)
    if name is None:
        return out, np.zeros(len(rows), np.float32)
    values = _rows_of(archive, name, stored[name], rows)[:, :10]
    known = np.isfinite(values).all(-1) & valid
    out[:, : values.shape[1]] = np.where(known[:, None], values, 0)
    return out, known.astype(np.float32)


def _hide(columns: Columns, hidden: np.ndarray) -> None:
    """Leave of hidden people their boxes alone."""
    columns.boxes[hidden, 1:, 4] = 0
    columns.joints_2d[hidden, :, 2] = 0
    columns.joints_3d[hidden, :, 3] = 0
    columns.pose_valid[hidden] = 0
    columns.shape_valid[hidden] = 0
