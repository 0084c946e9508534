"""Small HumanData files as their writers leave them: numpy's savez with dicts in object arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from aios_core.body import skinning
from aios_core.body.files import open_body
from aios_core.body.joints import JAW, LEFT_HAND, RIGHT_HAND

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0


@dataclass
class Everybody:
    """People of some pictures, a row each."""

    counts: list[int]
    pose: np.ndarray
    betas: np.ndarray
    expression: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    points: np.ndarray
    boxes: dict[str, np.ndarray] = field(default_factory=dict)


def everybody(counts: list[int], seed: int = 0, body=None) -> Everybody:
    """People standing side by side, upright in camera axes."""
    rng, n = np.random.default_rng(seed), sum(counts)
    body = body or open_body()
    pose = rng.normal(0, 0.2, (n, 55, 3)).astype(np.float32)
    pose[:, 0] += [np.pi, 0, 0]
    pose[:, 23:25] = 0
    betas, expression = rng.normal(0, 1, (2, n, 10)).astype(np.float32)
    beside = np.concatenate([np.linspace(-0.8, 0.8, count) if count > 1 else [0.1] for count in counts])
    transl = np.stack([beside, np.full(n, 0.3), np.full(n, 3.5)], -1).astype(np.float32)
    full = pose.copy()  # files hold hands relative to the mean hand
    full[:, LEFT_HAND] += body.hands_mean_left
    full[:, RIGHT_HAND] += body.hands_mean_right
    posed = skinning.pose_body(body, betas, expression, full, transl)
    joints = skinning.joints_144(body, posed, full)
    people = Everybody(counts, pose, betas, expression, transl, joints, project(joints))
    vertices = project(posed.vertices)
    people.boxes["bbox_xywh"] = xywh(vertices)
    people.boxes["lhand_bbox_xywh"] = xywh(people.points[:, [20, *range(25, 40)]])
    people.boxes["rhand_bbox_xywh"] = xywh(people.points[:, [21, *range(40, 55)]])
    people.boxes["face_bbox_xywh"] = xywh(people.points[:, 76:144])
    return people


def project(points: np.ndarray) -> np.ndarray:
    return points[..., :2] / points[..., 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]


def xywh(points: np.ndarray) -> np.ndarray:
    low, high = points.min(1), points.max(1)
    return np.concatenate([low, high - low, np.ones((len(low), 1))], -1)


def arrays_of(people: Everybody, model: str = "smplx") -> dict[str, object]:
    """Members of a HumanData file, before compression."""
    n, ones = len(people.pose), np.ones((len(people.pose), 144, 1))
    parameters = {
        "global_orient": people.pose[:, 0], "body_pose": people.pose[:, 1:22],
        "left_hand_pose": people.pose[:, LEFT_HAND],
        "right_hand_pose": people.pose[:, RIGHT_HAND], "jaw_pose": people.pose[:, JAW], "betas": people.betas,
        "expression": people.expression, "transl": people.transl,
        "leye_pose": np.zeros((n, 3)), "reye_pose": np.zeros((n, 3)),
    }  # fmt: skip
    stops = np.cumsum(people.counts)
    paths = [f"scene/{i:04d}.png" for i, count in enumerate(people.counts) for _ in range(count)]
    return {
        "image_path": paths,
        "frame_range": np.stack([stops - people.counts, stops], -1),
        **people.boxes,
        "keypoints2d_smplx": np.concatenate([people.points, ones], -1),
        "keypoints3d_smplx": np.concatenate([people.joints, ones], -1),
        model: parameters,
        "meta": {"height": [HEIGHT] * n, "width": [WIDTH] * n, "gender": ["neutral"] * n},
        "misc": {"note": "made up"},
        "config": "test",
    }


def save(path: Path, arrays: dict[str, object]) -> Path:
    """Write them as HumanData's dump does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = {
        "__key_strict__": False,
        "__data_len__": np.size(arrays.get("bbox_xywh", ())) // 5,
        "__keypoints_compressed__": False,
    }
    np.savez_compressed(path, **{**extra, **arrays})
    return path


def compressed(arrays: dict[str, object]) -> dict[str, object]:
    """With keypoints of the 190 convention, those that are not there left out, and masks that say which."""
    arrays = dict(arrays, __keypoints_compressed__=True)
    for name in ("keypoints2d_smplx", "keypoints3d_smplx"):
        mask = np.zeros(190, np.uint8)
        mask[:144] = 1
        mask[[60, 130]] = 0  # the left big toe and a point of the contour
        arrays[name] = arrays[name][:, mask[:144] > 0]
        arrays[f"{name}_mask"] = mask
    return arrays


def write_pictures(folder: Path, people: Everybody, dots: dict[int, tuple[int, int, int]] | None = None) -> None:
    """The pictures that the file names: grey, with a coloured dot at the joints in `dots` (index in 144: RGB)."""
    start = 0
    for i, count in enumerate(people.counts):
        image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        for person in range(start, start + count):
            for joint, colour in (dots or {}).items():
                x, y = people.points[person, joint]
                cv2.circle(image, (round(x * 16), round(y * 16)), 3 * 16, colour[::-1], -1, cv2.LINE_AA, 4)
        start += count
        path = folder / f"scene/{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
