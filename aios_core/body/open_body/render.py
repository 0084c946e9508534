"""A contact sheet of the open body: poses, hands, faces and shapes, drawn in plain numpy.

`python -m aios_core.body.open_body.render docs/images/open_body.jpg`
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files as package_files

import cv2
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.files import open_body
from aios_core.body.joints import JOINT_NAMES
from aios_core.body.open_body.build import MATERIALS
from aios_core.body.open_body.hands import finger_axes
from aios_core.body.open_body.mesh import rasterise, vertex_normals
from aios_core.body.skinning import PosedBody, pose_body
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.output import whole_file

CELL = (260, 320)  # width, height in pixels
_COLOURS = {  # linear RGB
    "skin": (0.55, 0.34, 0.25),
    "sclera": (0.8, 0.8, 0.8),
    "iris": (0.12, 0.2, 0.25),
    "pupil": (0.01, 0.01, 0.01),
    "tongue": (0.45, 0.12, 0.12),
    "teeth": (0.8, 0.77, 0.7),
}
_LIGHTS = ((0.75, (0.4, 0.6, 0.7)), (0.25, (-0.8, 0.1, 0.5)))  # strength, direction
_FIST = np.deg2rad([80, 95, 65] * 4 + [24, 40, 55])


@dataclass(frozen=True)
class View:
    """One cell of the sheet: which body, how it is posed, from where it is seen."""

    title: str
    pose: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Axis-angle in degrees; 'both_elbow' poses the left one and mirrors it to the right."""
    fist: float = 0.0
    """How far the fingers are curled, 0..1."""
    betas: tuple[float, ...] = ()
    expression: dict[str, float] = field(default_factory=dict)
    """Coefficients by the start of the direction's name."""
    gender: str = "neutral"
    yaw: float = 0.0
    """Degrees the body is turned to the picture's right."""
    about: str = "pelvis"
    """Joint at the middle of the picture."""
    height: float = 2.2
    """Metres from bottom to top."""


_SITTING = {"both_hip": (-88, 0, 6), "both_knee": (88, 0, 0), "both_shoulder": (0, -20, -62), "both_elbow": (0, -70, 0)}
_SQUATTING = {
    "both_hip": (-112, 10, 22), "both_knee": (132, 0, 0), "both_ankle": (-22, 0, 0), "spine1": (24, 0, 0),
    "both_shoulder": (0, -80, -10),
}  # fmt: skip
_STANDING = {
    "both_collar": (0, 0, -6),
    "both_shoulder": (5, -6, -64),
    "both_elbow": (0, -18, -4),
    "both_hip": (0, 0, -1),
}
_ARMS_UP = {"both_collar": (0, 0, 20), "both_shoulder": (0, 0, 66)}
_LOW = {"about": "pelvis", "height": 1.7}
_FACE = {"about": "jaw", "height": 0.34}
SHEET = (
    View("T-pose"),
    View("arms down", _STANDING),
    View("arms up", _ARMS_UP, about="spine3", height=2.6),
    View("arms up, from behind", _ARMS_UP, yaw=180, about="spine3", height=2.6),
    View("arms forward", {"both_collar": (0, -12, 0), "both_shoulder": (0, -78, 0)}, yaw=40),
    View("sitting", _SITTING, fist=0.4, yaw=50, **_LOW),
    View("squatting", _SQUATTING, yaw=60, **_LOW),
    View("lunge", {"left_hip": (-80, 0, 4), "left_knee": (85, 0, 0), "right_hip": (20, 0, -4), "right_knee": (60, 0, 0),
                   "both_shoulder": (0, 0, -60), "left_elbow": (0, -80, 0), "right_elbow": (0, 80, 0)}, yaw=70, **_LOW),
    View("flat hand", about="left_middle1", height=0.3, pose={"pelvis": (60, 0, 0)}),
    View("fist", fist=1.0, about="left_middle1", height=0.3, pose={"pelvis": (60, 0, 0)}),
    View("fist, palm", fist=1.0, about="left_middle1", height=0.3, pose={"pelvis": (-70, 0, 0)}),
    View("elbow and wrist", {"left_elbow": (60, -100, 0), "left_wrist": (0, 0, 40)}, about="left_elbow", height=0.9),
    View("face", **_FACE),
    View("open jaw", {"jaw": (18, 0, 0)}, **_FACE, yaw=25),
    View("smile", expression={"smile / frown": 2}, **_FACE),
    View("frown", expression={"smile / frown": -2}, **_FACE),
    View("brows up", expression={"brows up": 2}, **_FACE),
    View("eyes shut", expression={"eyes shut": 2.8}, **_FACE),
    View("pucker", expression={"pucker": 2}, **_FACE),
    View("cheeks puffed", expression={"cheeks": 2}, **_FACE, yaw=25),
    View("tall (+2.5)", _STANDING, betas=(2.5,)),
    View("short (-2.5)", _STANDING, betas=(-2.5,)),
    View("heavy (+2.5)", _STANDING, betas=(0, 2.5)),
    View("light (-2.5)", _STANDING, betas=(0, -2.5)),
    View("male", _STANDING, gender="male"),
    View("female", _STANDING, gender="female"),
    View("heavy, sitting", _SITTING, betas=(0, 2.5), yaw=50, **_LOW),
    View("drawn at random", _STANDING, betas=(-0.5, 0.6, 1.8, -1.2, 1.5, -1, 1.4, 0.5, -1.1, 1.0)),
)  # fmt: skip


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="a picture file")
    parser.add_argument("--only", help="draw only the views whose titles hold this text")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the cells, 1 = 260 x 320 pixels")
    options = parser.parse_args()
    views = [view for view in SHEET if not options.only or options.only in view.title]
    picture = draw_sheet(views, options.scale)
    with whole_file(options.output) as temporary:
        cv2.imwrite(str(temporary), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def draw_sheet(views: list[View] | tuple[View, ...], scale: float = 1.0, columns: int = 7) -> np.ndarray:
    """RGB picture of the views, row by row."""
    bodies = {gender: open_body(gender) for gender in {view.gender for view in views}}
    cells = [draw(bodies[view.gender], view, scale) for view in views]
    while len(cells) % min(columns, len(views)):
        cells.append(np.full_like(cells[0], 255))
    columns = min(columns, len(views))
    return np.concatenate([np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)])


def draw(body: BodyModel, view: View, scale: float = 1.0) -> np.ndarray:
    """RGB picture of one view, drawn at twice its size and averaged."""
    posed = _posed(body, view)
    turn = axis_angle_to_rotmat(np.array([0, np.deg2rad(view.yaw), 0]))
    vertices = (posed.vertices - posed.joints[JOINT_NAMES.index(view.about)]).astype(float) @ turn.T
    width, height = (2 * int(round(scale * side)) for side in CELL)
    pixel = view.height / height
    box = (-pixel * width / 2, pixel * (width / 2 + 0.5), -view.height / 2, view.height / 2 + 0.5 * pixel)
    both_sides = np.concatenate([body.faces, body.faces[:, ::-1]])  # the inside of the mouth shows back faces
    hit, weights, _ = rasterise(vertices, both_sides, box, pixel)
    colours = _shade(vertices, both_sides, hit, weights)[::-1]
    picture = cv2.resize(np.ascontiguousarray(colours), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    corner, grey = (6, picture.shape[0] - 8), (40, 40, 40)
    cv2.putText(picture, view.title, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.45, grey, 1, cv2.LINE_AA)
    return picture


def _posed(body: BodyModel, view: View) -> PosedBody:
    pose = np.zeros((55, 3), np.float32)
    for name, degrees in view.pose.items():
        rows = ((name, 1),)
        if name.startswith("both_"):
            rows = ((name.replace("both", "left"), 1), (name.replace("both", "right"), -1))
        for joint, sign in rows:
            pose[JOINT_NAMES.index(joint)] = np.deg2rad(degrees) * [1, sign, sign]
    for side, first in (("left", 25), ("right", 40)):
        pose[first : first + 15] = view.fist * _FIST[:, None] * finger_axes(body.joint_template, side)[0]
    betas, expression = np.zeros(10, np.float32), np.zeros(10, np.float32)
    betas[: len(view.betas)] = view.betas
    for start, amount in view.expression.items():
        expression[[name.startswith(start) for name in body.expression_names]] = amount
    return pose_body(body, betas, expression, pose)


@cache
def _face_materials() -> np.ndarray:
    """(F,) index into MATERIALS, the same for all three bodies."""
    asset = package_files("aios_core") / "assets" / "OPEN_NEUTRAL.npz"
    with np.load(str(asset)) as arrays:
        return arrays["face_material"]


def _shade(vertices: np.ndarray, both_sides: np.ndarray, hit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, white where no triangle was hit; both_sides: (2F, 3), the second half turned over."""
    normals = vertex_normals(vertices, both_sides[: len(both_sides) // 2])[both_sides[hit]]
    normals = np.einsum("hwkc,hwk->hwc", normals, weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    light = 0.18
    for strength, direction in _LIGHTS:
        unit = np.array(direction) / np.linalg.norm(direction)
        light = light + strength * np.clip(normals @ unit, 0, 1)
    colours = np.array([_COLOURS[name] for name in MATERIALS])[np.tile(_face_materials(), 2)][hit]
    shaded = np.clip(colours * light[..., None] * 1.6, 0, 1) ** (1 / 2.2)
    return (np.where((hit < 0)[..., None], 1.0, shaded) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
