"""How bones are drawn: as limbs, although their rest axes are the armature's own (see `armature`)."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from aios_core.body.joints import JOINT_NAMES, PARENTS

SHAPE_NAME = "aios_bone"
TOWARDS = {
    "pelvis": "spine1", "spine3": "neck", "left_wrist": "left_middle1", "right_wrist": "right_middle1",
}  # fmt: skip
"""Where bones point that carry several others."""
ENDS = {
    "head": (0, 0.16, 0.02), "jaw": (0, -0.02, 0.08), "left_eye_smplhf": (0, 0, 0.03),
    "right_eye_smplhf": (0, 0, 0.03), "left_foot": (0, 0, 0.08), "right_foot": (0, 0, 0.08),
}  # fmt: skip
"""Ends of bones that carry no other, metres from their heads, body upright and facing +z."""
WIDTH = 0.11
"""Of a bone, as a share of its length."""


def draw_as_limbs(armature: Any, joints: np.ndarray) -> None:
    """Give every bone of an armature with rest joints (55, 3) a shape that reaches to the next joint."""
    shape = bone_shape()
    for name, end in limb_ends(joints).items():
        bone = armature.pose.bones[name]
        limb = Vector(end - joints[JOINT_NAMES.index(name)])
        bone.custom_shape = shape
        bone.use_custom_shape_bone_size = False
        bone.custom_shape_scale_xyz = (limb.length,) * 3
        bone.custom_shape_rotation_euler = limb.to_track_quat("Y", "Z").to_euler()


def colour_bones(armature: Any, colour: tuple[float, float, float]) -> None:
    """Draw every bone in a person's colour, lighter where it is selected."""
    armature.color = (*colour, 1.0)
    for bone in armature.data.bones:
        bone.color.palette = "CUSTOM"
        custom = bone.color.custom
        custom.normal = colour
        custom.select, custom.active = (tuple(c + share * (1 - c) for c in colour) for share in (0.5, 0.75))


def limb_ends(joints: np.ndarray) -> dict[str, np.ndarray]:
    """(3,) where each bone ends: at the joint that it leads to, fingers as far again as their last but one."""
    ends = {}
    for joint, name in enumerate(JOINT_NAMES):
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        if name in ENDS:
            ends[name] = joints[joint] + ENDS[name]
        elif children:
            ends[name] = joints[JOINT_NAMES.index(TOWARDS[name]) if name in TOWARDS else children[0]]
        else:
            ends[name] = joints[joint] + 0.8 * (joints[joint] - joints[PARENTS[joint]])
    return ends


def bone_shape() -> Any:
    """The object that bones are drawn as, one for the whole file: a slim octahedron from the origin to (0, 1, 0)."""
    shape = bpy.data.objects.get(SHAPE_NAME)
    if shape is not None and shape.type == "MESH":
        return shape
    w, y = WIDTH / 2, 0.12
    corners = [(0, 0, 0), (w, y, w), (w, y, -w), (-w, y, -w), (-w, y, w), (0, 1, 0)]
    faces = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 1), (5, 2, 1), (5, 3, 2), (5, 4, 3), (5, 1, 4)]
    mesh = bpy.data.meshes.new(SHAPE_NAME)
    mesh.from_pydata(corners, [], faces)
    return bpy.data.objects.new(SHAPE_NAME, mesh)
