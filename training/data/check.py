"""Say what a HumanData file holds and what is wrong with it: python -m training.data.check FILE [--images FOLDER]

Nothing in the file is run. The exit status is 0 when training can use the file, whatever else is said of it, and 2
when it cannot be read.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import textwrap
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.files import load_body, open_body
from aios_core.errors import AiosError, DataSetError, OutputError
from aios_core.output import whole_file
from training.data.humandata.archive import Archive
from training.data.humandata.augmentation import Augmentation
from training.data.humandata.columns import BODY_OF_53, PART_BOXES, PARTS_OF_53, Columns, read_columns
from training.data.humandata.dataset import DataSet
from training.data.humandata.drawing import sheet
from training.data.humandata.kinds import KEYPOINTS_3D, KINDS, Kind
from training.data.humandata.landmarks import landmark_body

PICTURES_OPENED = 20
"""So many pictures, spread over the file, are decoded; of all others only their being there is looked at."""
MANY = 0.02
"""A fault of more than this share of the people is spoken of."""
PARTS = ("left hand", "right hand", "face")
ANY_KIND = Kind("any", "no data set's own rules")


@dataclass(frozen=True)
class Report:
    """What a file holds."""

    file: str
    kind: str
    pictures: int
    people: int
    keys: dict[str, str]
    """Every member with its shape."""
    keypoints_2d: str | None
    keypoints_3d: str | None
    parameters: str | None
    """Whose: smplx, smplh or smpl."""
    valid: dict[str, int]
    """People with a valid box, pose, ... of each part."""
    missing_pictures: int | None
    """None where no folder of pictures was given."""
    problems: tuple[str, ...]
    """One sentence each."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and print the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.data.check", description=__doc__.split("\n\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--images", type=Path, help="folder that the file's picture paths start from")
    parser.add_argument("--kind", choices=list(KINDS), help="whose rules to read it by (default: as the name says)")
    parser.add_argument("--body", type=Path, help="SMPL-X file: also say whether hands are relative to its mean hand")
    parser.add_argument("--sheet", type=Path, help="also draw pictures and labels as training sees them (.png)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    kind = KINDS[options.kind] if options.kind else kind_of(options.file)
    try:
        body = load_body(options.body) if options.body else None
        report = check(options.file, kind, options.images, body)
        if options.sheet:
            _draw(options.sheet, options.file, kind, options.images, body)
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(asdict(report), indent=1) if options.json else described(report))
    return 0


def _draw(sheet_path: Path, path: Path, kind: Kind, images: Path | None, body: BodyModel | None) -> None:
    if images is None:
        raise DataSetError("A sheet needs the pictures: name their folder with --images.")
    picture = sheet(DataSet(kind, path, images), landmark_body(body or open_body()), Augmentation())
    with whole_file(sheet_path) as temporary:
        if not cv2.imwrite(str(temporary), picture[..., ::-1]):
            raise OutputError(f"Cannot write {sheet_path}: pictures end in .png or .jpg.")


def kind_of(path: Path) -> Kind:
    """The kind that a file's name or its folder's names, or none's rules."""
    stated = f"{path.parent.name} {path.name}".lower()
    return next((kind for name, kind in KINDS.items() if name in stated), ANY_KIND)


def check(path: Path, kind: Kind, images: Path | None = None, body: BodyModel | None = None) -> Report:
    """What the file holds, and what is wrong with it.

    Raises:
        DataSetError: it cannot be read.
    """
    # Nothing is left out and nothing weighed while looking for faults.
    columns = read_columns(replace(kind, max_occlusion=None), path)
    with Archive(path) as archive:
        keys = {name: _shape(archive, name) for name in archive.names}
        used_2d = next((name for name in kind.keypoints_2d if name in archive), None)
        used_3d = next((name for name in KEYPOINTS_3D if name in archive), None)
        model = next((name for name in ("smplx", "smplh", "smpl") if name in archive), None)
        problems = [
            *_lacking(archive, kind, used_2d, used_3d, model),
            *_not_finite(archive, [n for n in ("bbox_xywh", *PART_BOXES, used_2d, used_3d) if n and n in archive]),
        ]
        if model is not None:
            problems += _parameter_problems(archive, model, columns, body)
    missing, picture_problems = _pictures(columns, images)
    problems += [*_label_problems(columns), *picture_problems]
    return Report(
        file=str(path), kind=kind.name, pictures=len(columns.image_paths), people=len(columns.boxes), keys=keys,
        keypoints_2d=used_2d, keypoints_3d=used_3d, parameters=model, valid=_valid(columns), missing_pictures=missing,
        problems=tuple(problems),
    )  # fmt: skip


def described(report: Report) -> str:
    """The report as plain text."""
    people, title = report.people, KINDS[report.kind].title if report.kind in KINDS else ANY_KIND.title
    keys = ", ".join(f"{name} ({shape})" for name, shape in report.keys.items())
    lines = [
        f"{report.file}: {people} people in {report.pictures} pictures, read as {title}.",
        f"Keypoints: {report.keypoints_2d or 'none'} in 2-d, {report.keypoints_3d or 'none'} in 3-d.",
        f"Body parameters: {report.parameters or 'none'}.",
        *textwrap.wrap(f"Keys: {keys}.", 110, subsequent_indent="  ", break_on_hyphens=False),
        "Valid for training:",
        *(f"  {name:<18}{count:>9}{count / max(people, 1):>8.1%}" for name, count in report.valid.items()),
    ]
    if report.missing_pictures is not None:
        lines.append(f"Pictures missing: {report.missing_pictures} of {report.pictures}.")
    lines += [f"- {problem}" for problem in report.problems] or ["Nothing is wrong with it."]
    return "\n".join(lines)


def _shape(archive: Archive, name: str) -> str:
    shape, dtype = archive.header(name)
    return "object" if dtype.hasobject else "x".join(map(str, shape)) or str(dtype)


def _lacking(archive: Archive, kind: Kind, used_2d: str | None, used_3d: str | None, model: str | None) -> list[str]:
    said = []
    if "frame_range" not in archive:
        said.append("'frame_range' is missing: every person is taken for the only one of a picture.")
    if used_2d is None:
        said.append("There are no 2-d keypoints: nothing says where joints are in the picture.")
    if used_3d is None and kind.has_3d:
        said.append("There are no 3-d keypoints: joints are learnt from the body parameters alone.")
    if model is None:
        said.append("There are no body parameters (smplx, smplh or smpl).")
    elif model != "smplx":
        said.append(f"The parameters are {model}'s: face and shape are not used.")
    absent = [name for name in PART_BOXES if name not in archive]
    if absent:
        said.append(f"There are no boxes of hands or faces: {', '.join(absent)}.")
    if kind.max_occlusion is not None or kind.meta_validity:
        meta = archive.read("meta") if "meta" in archive else {}
        wanted = ("occ",) if kind.max_occlusion is not None else ("valid_label", "iscrowd", "face_valid")
        absent = [name for name in wanted if not isinstance(meta, dict) or name not in meta]
        if absent:
            said.append(f"'meta' lacks {', '.join(absent)}, which {kind.title} files have: everybody is used.")
    return said


def _not_finite(archive: Archive, names: list[str]) -> list[str]:
    said = []
    for name in names:
        shape, _ = archive.header(name)
        rows = np.arange(shape[0])
        bad = int(archive.read_rows(name, rows, lambda b: ~np.isfinite(b).all(tuple(range(1, b.ndim)))).sum())
        if bad:
            said.append(f"'{name}' holds values that are no numbers (NaN or infinite) for {_of(bad, shape[0])}.")
    return said


def _parameter_problems(archive: Archive, model: str, columns: Columns, body: BodyModel | None) -> list[str]:
    said, stored = [], archive.read(model)
    assert isinstance(stored, dict), "read_columns would have refused it"
    wanted = ("global_orient", "body_pose") + (
        ("left_hand_pose", "right_hand_pose", "jaw_pose", "betas", "expression") if model == "smplx" else ()
    )
    absent = [name for name in wanted if name not in stored and f"{name}_neutral" not in stored]
    if absent:
        said.append(f"'{model}' lacks {', '.join(absent)}.")
    for name, values in stored.items():
        try:
            values = np.asarray(values)
        except ValueError:  # rows of different lengths: nothing that training reads
            continue
        if values.dtype.kind != "f" or values.ndim == 0:
            continue
        values = values.reshape(len(values), math.prod(values.shape[1:]))
        bad = int((~np.isfinite(values)).any(-1).sum())
        if bad:
            said.append(
                f"'{model}.{name}' holds values that are no numbers (NaN or infinite) for {_of(bad, len(values))}."
            )
        rotates = name == "global_orient" or name.endswith("_pose")
        if rotates and values.shape[1] % 3 == 0:
            turns = np.linalg.norm(values.reshape(len(values), values.shape[1] // 3, 3), axis=-1).max(-1, initial=0)
            wild = int((turns > 2 * np.pi).sum())
            if wild > MANY * len(values):
                said.append(
                    f"'{model}.{name}' has rotations of more than a full turn for {_of(wild, len(values))}: they look "
                    "like degrees, and radians are needed."
                )
    if body is not None:
        said += _hand_problems(columns, body)
    return said


def _hand_problems(columns: Columns, body: BodyModel) -> list[str]:
    """Whether the average of the stored hands is the mean hand instead of nothing."""
    said = []
    for name, where, mean in zip(PARTS, PARTS_OF_53[:2], (body.hands_mean_left, body.hands_mean_right), strict=False):
        known = columns.pose_valid[:, where].min(1) > 0
        if known.any() and np.abs(mean).max() > 0:
            average = columns.pose[known][:, where].mean(0)
            if (average * mean).sum() > 0.5 * (mean**2).sum():
                said.append(
                    f"The {name}s look absolute: their average is the body's mean hand, and poses relative to it are "
                    "needed. Train with --set absolute_hands='[\"KIND\"]'."
                )
    return said


def _label_problems(columns: Columns) -> list[str]:
    said, people = [], len(columns.boxes)
    boxes, has_box = columns.boxes[:, 0, :4], columns.boxes[:, 0, 4] > 0
    if (~has_box).any():
        said.append(f"The body box is empty or marked as invalid for {_of(int((~has_box).sum()), people)}.")
    sizes = np.repeat(columns.sizes, np.diff(columns.starts), 0).astype(np.float32)
    inside = (boxes[:, :2] < sizes).all(-1) & (boxes[:, 2:] > 0).all(-1)
    outside = int((has_box & (sizes[:, 0] > 0) & ~inside).sum())
    if outside:
        said.append(f"The body box lies outside of the picture for {_of(outside, people)}: they are never used.")
    beyond = int((has_box & (sizes[:, 0] > 0) & (boxes[:, 2:] > 1.5 * sizes).any(-1)).sum())
    if beyond > MANY * people:
        said.append(
            f"The body box reaches far beyond the picture for {_of(beyond, people)}: it looks like two corners "
            "(x0 y0 x1 y1), and a corner with width and height is needed, or like pixels of a bigger picture."
        )
    seen = columns.joints_2d[..., 2] > 0
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    margin = 0.25 * (high - low)
    points = columns.joints_2d[..., :2]
    fits = ((points >= low - margin) & (points <= high + margin)).all(-1)
    astray = int((has_box & (seen.sum(-1) > 0) & ((fits & seen).sum(-1) < 0.5 * seen.sum(-1))).sum())
    if astray > MANY * people:
        said.append(
            f"Most 2-d keypoints lie outside of the body box for {_of(astray, people)}: they do not fit together."
        )
    known = (columns.joints_3d[..., 3] > 0)[:, [0, 7]].all(-1)  # pelvis, neck
    if known.any():
        spine = np.linalg.norm(columns.joints_3d[known, 7, :3] - columns.joints_3d[known, 0, :3], axis=-1)
        if np.median(spine) > 5:
            said.append(f"From pelvis to neck it is {np.median(spine):.0f} in 3-d: metres are needed, not millimetres.")
    return said


def _pictures(columns: Columns, images: Path | None) -> tuple[int | None, list[str]]:
    """How many pictures are not there, and what is wrong with those looked at."""
    if images is None:
        return None, []
    if not images.is_dir():
        return len(columns.image_paths), [f"There is no folder {images}."]
    paths = [images / os.fsdecode(bytes(path)) for path in columns.image_paths]
    there = [path.is_file() for path in paths]
    missing = [path for path, found in zip(paths, there, strict=True) if not found]
    said = []
    if missing:
        said.append(f"{len(missing)} of {len(paths)} pictures are missing, the first is {missing[0]}.")
    found = np.flatnonzero(there)
    undecodable: list[Path] = []
    resized: list[str] = []
    for i in (
        found[np.unique(np.linspace(0, max(len(found) - 1, 0), PICTURES_OPENED).astype(int))] if len(found) else ()
    ):
        picture = cv2.imread(str(paths[i]), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None:
            undecodable.append(paths[i])
            continue
        size, rows = np.array(picture.shape[::-1]), slice(*columns.starts[i : i + 2])
        reach = columns.boxes[rows, 0, 2:4].max(0, initial=0)
        if columns.sizes[i, 0] == 0 and (reach > 1.5 * size).any():
            resized.append(
                f"{paths[i]} is {size[0]}x{size[1]}, but people in it reach to {reach[0]:.0f}, {reach[1]:.0f}"
            )
    if undecodable:
        said.append(f"{len(undecodable)} pictures looked at cannot be decoded, the first is {undecodable[0]}.")
    if resized:
        said.append(f"Labels seem to be of bigger pictures: {resized[0]}.")
    return len(missing), said


def _valid(columns: Columns) -> dict[str, int]:
    counts = {"body boxes": columns.boxes[:, 0, 4] > 0, "body poses": columns.pose_valid[:, BODY_OF_53].min(1) > 0}
    for k, name in enumerate(PARTS):
        counts[f"{name} boxes"] = columns.boxes[:, 1 + k, 4] > 0
        counts[f"{name} poses"] = columns.pose_valid[:, PARTS_OF_53[k]].min(1) > 0
    counts["shapes"], counts["expressions"] = columns.shape_valid[:, 0] > 0, columns.shape_valid[:, 1] > 0
    counts["2-d keypoints"] = (columns.joints_2d[..., 2] > 0).any(-1)
    counts["3-d keypoints"] = (columns.joints_3d[..., 3] > 0).any(-1)
    return {name: int(values.sum()) for name, values in counts.items()}


def _of(count: int, people: int) -> str:
    return f"{count} of {people} people ({count / max(people, 1):.1%})"


if __name__ == "__main__":
    sys.exit(main())
