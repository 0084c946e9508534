"""AMASS's layout of SMPL-X motion as .npz, one person: what research tools and SMPL-X add-ons read.

World frame: z up, as in AMASS; the ground of the scene at z = 0; metres. N = every frame from the first to the last in
which the person is there; `valid` is False in a gap, where the last pose is held.

    poses (N, 165)            axis-angle: global_orient 3, body 63, jaw 3, eyes 6, left hand 45, right hand 45;
                              hands absolute (flat hand = zero)
    root_orient, pose_body, pose_jaw, pose_eye, pose_hand     the same, in AMASS's parts
    trans (N, 3)              added to the body as it comes out of the body model
    betas (16,)               the person's 10, then zeros
    expression (N, 10)        not clamped
    gender, surface_model_type, mocap_frame_rate, mocap_time_length, num_betas     as in AMASS
    valid (N,) bool, gaps (G, 2) first and last row of each, frame_start (Blender's frame of row 0)
    body_family               'open' or 'smplx': whose betas and expression these are
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aios_core.body.joints import BODY, JAW, JOINT_NAMES, LEFT_HAND, PARENTS
from aios_core.geometry.rotations import rotmat_to_axis_angle

from .motion import Motion, held_values, shape_key_values
from .people import Person

BETAS = 16
EXPRESSIONS = 10
EYES = slice(23, 25)


def write_smplx_npz(person: Person, motion: Motion, path: Path) -> None:
    """Write one person's .npz file."""
    first, last = _span(motion.visible)
    arrays = smplx_arrays(person, motion, first, last)
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def smplx_arrays(person: Person, motion: Motion, first: int, last: int) -> dict[str, np.ndarray]:
    """The file's arrays, from row `first` to row `last` of the motion."""
    rows = slice(first, last + 1)
    world = motion.world[rows]
    unit = np.linalg.norm(motion.world[0, :3, 0])  # an armature may have been scaled
    posed = motion.world_pose(JOINT_NAMES)[rows]
    rest = motion.rest[[motion.bones.index(name) for name in JOINT_NAMES]]
    turned = posed[..., :3, :3] / unit @ np.swapaxes(rest[:, :3, :3], -1, -2)  # from SMPL-X's rest axes to the world
    local = turned.copy()
    local[:, 1:] = np.swapaxes(turned[:, PARENTS[1:]], -1, -2) @ turned[:, 1:]
    pose = rotmat_to_axis_angle(local)
    expression = np.zeros((len(world), EXPRESSIONS))
    values = {}
    for mesh in person.meshes:
        values |= held_values(shape_key_values(mesh, motion.frames), motion.visible)
    for k in range(EXPRESSIONS):
        expression[:, k] = values.get(f"Exp{k:03d}", np.zeros(len(motion.frames)))[rows]
    betas = np.zeros(BETAS)
    own = np.asarray(person.armature.get("aios_betas", ()), float)
    betas[: len(own)] = own
    flat = {
        "poses": pose, "root_orient": pose[:, 0], "pose_body": pose[:, BODY], "pose_jaw": pose[:, JAW],
        "pose_eye": pose[:, EYES], "pose_hand": pose[:, LEFT_HAND.start :],
    }  # fmt: skip
    return {name: array.reshape(len(world), -1).astype(np.float32) for name, array in flat.items()} | {
        "trans": (posed[:, 0, :3, 3] - rest[0, :3, 3]).astype(np.float64),
        "betas": betas,
        "num_betas": np.array(BETAS),
        "expression": expression.astype(np.float32),
        "gender": np.array(str(person.armature.get("aios_gender", "neutral"))),
        "surface_model_type": np.array("smplx"),
        "body_family": np.array(str(person.armature.get("aios_body_family", "open"))),
        "mocap_frame_rate": np.array(motion.fps),
        "mocap_time_length": np.array(len(world) / motion.fps),
        "valid": motion.visible[rows],
        "gaps": _gap_rows(motion, first, last),
        "frame_start": np.array(int(motion.frames[first])),
    }


def _span(visible: np.ndarray) -> tuple[int, int]:
    there = np.flatnonzero(visible)
    return (int(there[0]), int(there[-1])) if len(there) else (0, len(visible) - 1)


def _gap_rows(motion: Motion, first: int, last: int) -> np.ndarray:
    start = motion.frames[first]
    inside = [(a - start, b - start) for a, b in motion.gaps() if a > start and b < motion.frames[last]]
    return np.array(inside, np.int64).reshape(-1, 2)
