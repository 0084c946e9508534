"""The armature: SMPL-X's 55 joints as bones whose rest axes are the armature's own, and their keys."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from aios_core.body.joints import JOINT_NAMES, LEFT_HAND, PARENTS, RIGHT_HAND
from aios_core.body.skinning import full_pose
from aios_core.mocap import Track

from ..coordinates import ARMATURE_EULER, joint_quaternions, pelvis_locations, pelvis_quaternions
from .bone_shapes import draw_as_limbs
from .keyframes import interpolations, write_curves

ROOT = "root"
FACE = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
BONE_LENGTH = 0.06
FINGER_LENGTH = 0.018


def new_armature(name: str, joints: np.ndarray, collection: Any) -> Any:
    """An armature object with bones at rest joints (55, 3), metres, standing upright.

    Every bone points along +y with roll 0, so its rest matrix is the identity and a joint's rotation is the bone's.
    """
    data = bpy.data.armatures.new(name)
    data.display_type = "OCTAHEDRAL"
    armature = bpy.data.objects.new(name, data)
    collection.objects.link(armature)
    armature.rotation_euler = ARMATURE_EULER
    armature.show_in_front = True
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    root = data.edit_bones.new(ROOT)
    root.head, root.tail, root.roll = (0, 0, 0), (0, 0.15, 0), 0
    for joint, bone_name in enumerate(JOINT_NAMES):
        bone = data.edit_bones.new(bone_name)
        length = FINGER_LENGTH if joint >= LEFT_HAND.start else BONE_LENGTH
        bone.head = joints[joint].tolist()
        bone.tail = (joints[joint] + [0, length, 0]).tolist()
        bone.roll = 0
        bone.parent = data.edit_bones[ROOT if PARENTS[joint] < 0 else JOINT_NAMES[PARENTS[joint]]]
    bpy.ops.object.mode_set(mode="OBJECT")
    _sort_bones(data)
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
    draw_as_limbs(armature, joints)
    return armature


def _sort_bones(data: Any) -> None:
    """Bone collections: body, hands, face."""
    groups = {name: data.collections.new(name) for name in ("body", "hands", "face")}
    hands = {*JOINT_NAMES[LEFT_HAND], *JOINT_NAMES[RIGHT_HAND]}
    for bone in data.bones:
        group = "hands" if bone.name in hands else "face" if bone.name in FACE else "body"
        groups[group].assign(bone)


def key_pose(
    bag: Any, track: Track, rest_pelvis: np.ndarray, camera_to_world: np.ndarray, times: np.ndarray, types: np.ndarray
) -> None:
    """Key every bone of an armature's channelbag at Blender frames times (N,); camera_to_world: (N, 4, 4)."""
    pose = full_pose(track.global_orient, track.body_pose, track.left_hand_pose, track.right_hand_pose, track.jaw_pose)
    quaternions = joint_quaternions(pose)
    quaternions[:, 0] = pelvis_quaternions(track.global_orient, camera_to_world)
    modes = interpolations(track.frames)
    transl, rest_pelvis = track.transl.astype(np.float64), rest_pelvis.astype(np.float64)
    locations = pelvis_locations(transl, rest_pelvis, camera_to_world)
    write_curves(bag, 'pose.bones["pelvis"].location', "pelvis", times, locations, modes, types)
    for joint, name in enumerate(JOINT_NAMES):
        path = f'pose.bones["{name}"].rotation_quaternion'
        write_curves(bag, path, name, times, quaternions[:, joint], modes, types)
