"""The armature: SMPL-X's 55 joints as bones whose rest axes are the armature's own, and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Quaternion

from aios_core.body.joints import JOINT_NAMES, LEFT_HAND, PARENTS, RIGHT_HAND
from aios_core.body.skinning import full_pose
from aios_core.mocap import Track

from .. import compat
from ..coordinates import ARMATURE_EULER, joint_quaternions, pelvis_locations, pelvis_quaternions
from .bone_shapes import colour_bones, draw_as_limbs
from .keyframes import interpolations, write_curves

ROOT = "root"
FACE = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
BONE_LENGTH = 0.06
FINGER_LENGTH = 0.018
A_POSE_ANGLE = np.pi / 4
LOCATION = 'pose.bones["pelvis"].location'


def new_armature(name: str, joints: np.ndarray, collection: Any, colour: tuple[float, float, float]) -> Any:
    """An armature object with bones at rest joints (55, 3), metres, standing upright.

    Every bone points along +y with roll 0, so its rest matrix is the identity and a joint's rotation is the bone's.
    """
    data = bpy.data.armatures.new(name)
    data.display_type = "OCTAHEDRAL"
    armature = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(armature)  # bones can be made in the scene alone
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
    bpy.context.scene.collection.objects.unlink(armature)
    collection.objects.link(armature)
    _sort_bones(data)
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
    draw_as_limbs(armature, joints)
    colour_bones(armature, colour)
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


def key_rest_pose(armature: Any, frame: int, pose: str) -> None:
    """Key a captured person at a frame, standing upright where they are first: in a T-pose ('T') or an A-pose ('A')."""
    first = int(armature["aios_first_frame"])
    place = [curve.evaluate(first) for curve in _curves_of(armature, LOCATION)]
    place[1] = -lowest_point(armature)
    armature.pose.bones["pelvis"].location = place
    armature.pose.bones["pelvis"].keyframe_insert("location", frame=frame, group="pelvis")
    heading = upright_heading([curve.evaluate(first) for curve in _curves_of(armature, _rotation("pelvis"))])
    down = {"left_shoulder": -A_POSE_ANGLE, "right_shoulder": A_POSE_ANGLE} if pose == "A" else {}
    for name in JOINT_NAMES:
        bone = armature.pose.bones[name]
        bone.rotation_quaternion = heading if name == "pelvis" else Quaternion((0, 0, 1), down.get(name, 0.0))
        bone.keyframe_insert("rotation_quaternion", frame=frame, group=name)
    for path in (LOCATION, *map(_rotation, JOINT_NAMES)):
        for curve in _curves_of(armature, path):
            point = next(p for p in curve.keyframe_points if abs(p.co.x - frame) < 0.5)
            point.interpolation = "CONSTANT"


def lowest_point(armature: Any) -> float:
    """Metres from the armature's origin up to the soles of the person at rest."""
    meshes = [thing.data for thing in armature.children if thing.type == "MESH"]
    if not meshes:
        return min(armature.data.bones[f"{side}_foot"].head_local.y for side in ("left", "right"))
    vertices = np.empty(3 * len(meshes[0].vertices), np.float32)
    meshes[0].vertices.foreach_get("co", vertices)
    return float(vertices[1::3].min())


def upright_heading(quaternion: Sequence[float]) -> Quaternion:
    """The turn about the upright axis in a pelvis' rotation: where somebody faces who then stands straight."""
    w, _, y, _ = quaternion
    turn = Quaternion((w, 0, y, 0))
    return turn.normalized() if turn.magnitude > 1e-6 else Quaternion()


def _rotation(bone: str) -> str:
    return f'pose.bones["{bone}"].rotation_quaternion'


def _curves_of(armature: Any, path: str) -> list[Any]:
    found = [curve for curve in compat.fcurves_of(armature) if curve.data_path == path]
    return sorted(found, key=lambda curve: curve.array_index)
