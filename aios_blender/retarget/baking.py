"""Keys for a rig's controls: one action, whatever lies between a control and the body.

In a plain skeleton a bone's key follows from its parent's pose. In a rig with constraints (such as a generated Rigify
rig) controls hang on helper bones: there Blender plays the keys, what the helpers did is measured, and the keys are
made again until every control stands as it shall.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from aios_core.geometry.rotations import continuous_quat_wxyz, geodesic_distance

from .. import compat
from ..scene.keyframes import CONSTANT, interpolations, write_curves
from .bone_map import Properties
from .controls import Control, RigMotion
from .rig import Rig

PASSES = 8
CLOSE_RADIANS, CLOSE_METRES = 2e-4, 1e-4
"""Controls that are so near to where they shall be are there; metres of a person 1.7 m tall."""
MARK = "aios_retarget"
"""Custom property of actions that retargeting made."""


@dataclass(frozen=True)
class Baked:
    """What was keyed."""

    action: Any
    errors: dict[str, float]
    """Control -> radians that it is off at most; empty for plain skeletons, where it cannot be."""


@dataclass(frozen=True)
class Clock:
    """When keys are."""

    times: np.ndarray
    """(N,) Blender frames."""
    frames: np.ndarray
    """(N,) int, one apart but where the person is not there."""


def bake(rig: Rig, controls: Sequence[Control], motion: RigMotion, clock: Clock, properties: Properties) -> Baked:
    """Give the rig an action with a key for every control in every frame.

    properties: of the rig's bones, set and keyed once at the first frame.
    """
    armature = rig.armature
    if armature.data.library is None:
        armature.data.pose_position = "POSE"
    before = armature.animation_data.action if armature.animation_data else None
    involved = _with_ancestors(armature, [control.bone for control in controls])
    for bone in involved:
        armature.pose.bones[bone].matrix_basis = Matrix()
    given = _set_properties(armature, properties)
    bases = basis_matrices(rig, controls, involved)
    action, errors = write_action(rig, bases, clock, given), {}
    if _is_plain(armature, involved):
        return Baked(_replacing(before, action, armature), errors)
    for _ in range(PASSES):
        played = play(rig, involved, clock)
        controls = _shifted(rig, controls, motion, played)
        errors = _errors(rig, controls, played)
        if max(errors.values()) < CLOSE_RADIANS and _root_error(rig, motion, played) < CLOSE_METRES * rig_size(rig):
            break
        bases = basis_matrices(rig, controls, involved, played)
        bpy.data.actions.remove(action)
        action = write_action(rig, bases, clock, given)
    return Baked(_replacing(before, action, armature), errors)


def rig_size(rig: Rig) -> float:
    """The rig's legs as a multiple of a person's."""
    return float(np.linalg.norm(rig.heads["left_hip"] - rig.heads["left_ankle"])) / 0.8


def basis_matrices(
    rig: Rig, controls: Sequence[Control], involved: Sequence[str], played: Mapping[str, np.ndarray] | None = None
) -> dict[str, list[Matrix]]:
    """Control -> N matrices to key, from the poses that the controls shall have.

    played: bone -> (N, 4, 4) what was measured with earlier keys, armature space; None takes every bone without keys
    to rest relative to its parent.
    """
    wanted = {control.bone: wanted_poses(rig, control) for control in controls}
    if played is None:
        return _by_hierarchy(rig.armature, controls, involved, wanted)
    bones = rig.armature.data.bones
    answer = {}
    for control in controls:
        parent = bones[control.bone].parent
        poses = None if parent is None else played[parent.name]
        carrier = _carrier(rig.armature, control, wanted)
        if poses is not None and carrier is not None and control.place is None:
            poses = poses.copy()  # the parent goes on the way that what carries it will have gone
            change = wanted[carrier][:, :3, :3] @ np.linalg.inv(_turns(played[carrier]))
            poses[:, :3, :3] = change @ poses[:, :3, :3]
        answer[control.bone] = [
            _basis(bones[control.bone], Matrix(pose), None if poses is None else Matrix(poses[t]), control.place)
            for t, pose in enumerate(wanted[control.bone])
        ]
    return answer


def wanted_poses(rig: Rig, control: Control) -> np.ndarray:
    """(N, 4, 4) of the control in armature space, without scale; the translation is zero for bones that only turn."""
    answer = np.zeros((len(control.turn), 4, 4))
    answer[:, :3, :3] = rig.own_turn.T @ control.turn @ rig.rest_turn(control.bone)
    answer[:, 3, 3] = 1
    if control.place is not None:
        answer[:, :3, 3] = (control.place - rig.world[:3, 3]) @ rig.own_turn / rig.scale
    return answer


def _by_hierarchy(
    armature: Any, controls: Sequence[Control], involved: Sequence[str], wanted: Mapping[str, np.ndarray]
) -> dict[str, list[Matrix]]:
    places = {control.bone: control.place for control in controls}
    bones = [armature.data.bones[name] for name in involved]
    answer: dict[str, list[Matrix]] = {name: [] for name in places}
    for t in range(len(controls[0].turn)):
        poses: dict[str, Matrix] = {}
        for bone in bones:
            parent = poses[bone.parent.name] if bone.parent else None
            basis = Matrix()
            if bone.name in places:
                basis = _basis(bone, Matrix(wanted[bone.name][t]), parent, places[bone.name])
                answer[bone.name].append(basis)
            poses[bone.name] = _converted(bone, basis, parent)
    return answer


def _basis(bone: Any, pose: Matrix, parent: Matrix | None, place: np.ndarray | None) -> Matrix:
    basis = _converted(bone, pose, parent, invert=True)
    turn = basis.to_quaternion().to_matrix().to_4x4()
    return Matrix.Translation(basis.translation) @ turn if place is not None else turn


def _converted(bone: Any, matrix: Matrix, parent: Matrix | None, invert: bool = False) -> Matrix:
    """Between a bone's own space and armature space, with whatever the bone does not inherit."""
    if parent is None:
        return bone.convert_local_to_pose(matrix, bone.matrix_local, invert=invert)
    return bone.convert_local_to_pose(
        matrix, bone.matrix_local, parent_matrix=parent, parent_matrix_local=bone.parent.matrix_local, invert=invert
    )


def _carrier(armature: Any, control: Control, wanted: Mapping[str, np.ndarray]) -> str | None:
    """The control among a bone's own ancestors, or else the one that carries it in the body."""
    bone = armature.data.bones[control.bone].parent
    while bone is not None and bone.name not in wanted:
        bone = bone.parent
    return bone.name if bone is not None else control.carrier


def write_action(rig: Rig, bases: Mapping[str, list[Matrix]], clock: Clock, given: Properties) -> Any:
    """A new action of the rig with these keys."""
    armature = rig.armature
    action = compat.actions_for(f"{armature.name}_retarget", 1)[0]
    action[MARK] = rig.bone_map.name
    bag = compat.channelbag(armature, action, armature.name)
    modes = interpolations(clock.frames)
    moved = {rig.bone_map.root_bone, *(c for feet in rig.bone_map.feet.values() for c in (feet.foot, feet.pole))}
    for name, matrices in bases.items():
        bone = armature.pose.bones[name]
        path, values = rotation_values(bone, matrices)
        write_curves(bag, path, name, clock.times, values, modes)
        if name in moved:
            places = np.array([matrix.translation for matrix in matrices])
            write_curves(bag, bone.path_from_id("location"), name, clock.times, places, modes)
    for bone, values in given.items():
        for name, value in values.items():
            path = f'{armature.pose.bones[bone].path_from_id()}["{name}"]'
            write_curves(bag, path, bone, clock.times[:1], np.array([[float(value)]]), np.array([CONSTANT], np.uint8))
    return action


def rotation_values(bone: Any, matrices: Sequence[Matrix]) -> tuple[str, np.ndarray]:
    """Data path and (N, 3 or 4) values of a pose bone's rotation in its own rotation mode, without leaps in time."""
    if bone.rotation_mode == "QUATERNION":
        values = continuous_quat_wxyz(np.array([matrix.to_quaternion() for matrix in matrices]))
        return bone.path_from_id("rotation_quaternion"), values
    if bone.rotation_mode == "AXIS_ANGLE":
        quaternions = continuous_quat_wxyz(np.array([matrix.to_quaternion() for matrix in matrices]))
        turns = [Quaternion(quaternion).to_axis_angle() for quaternion in quaternions]
        return bone.path_from_id("rotation_axis_angle"), np.array([(angle, *axis) for axis, angle in turns])
    eulers = [matrices[0].to_euler(bone.rotation_mode)]
    for matrix in matrices[1:]:
        eulers.append(matrix.to_euler(bone.rotation_mode, eulers[-1]))
    return bone.path_from_id("rotation_euler"), np.array(eulers)


def play(rig: Rig, bones: Sequence[str], clock: Clock) -> dict[str, np.ndarray]:
    """Bone -> (N, 4, 4) poses in armature space as Blender plays them, in a scene that holds the rig alone."""
    answer = np.empty((len(bones), len(clock.times), 4, 4))
    with _scene_of(rig.armature) as own:
        for t, time in enumerate(clock.times):
            own.frame_set(int(np.floor(time)), subframe=float(time - np.floor(time)))
            poses = rig.armature.evaluated_get(own.view_layers[0].depsgraph).pose.bones
            for i, name in enumerate(bones):
                answer[i, t] = poses[name].matrix
    return dict(zip(bones, answer, strict=True))


@contextmanager
def _scene_of(armature: Any) -> Iterator[Any]:
    own = bpy.data.scenes.new("aios_retarget")
    try:
        own.collection.objects.link(armature)
        yield own
    finally:
        own.collection.objects.unlink(armature)
        bpy.data.scenes.remove(own)


def _shifted(
    rig: Rig, controls: Sequence[Control], motion: RigMotion, played: Mapping[str, np.ndarray]
) -> list[Control]:
    """The controls with the root moved by what the hips are off."""
    off = motion.hips - _played_hips(rig, played)
    return [
        replace(control, place=control.place + off) if control.bone == rig.bone_map.root_bone else control
        for control in controls
    ]


def _root_error(rig: Rig, motion: RigMotion, played: Mapping[str, np.ndarray]) -> float:
    return float(np.linalg.norm(motion.hips - _played_hips(rig, played), axis=1).max())


def _played_hips(rig: Rig, played: Mapping[str, np.ndarray]) -> np.ndarray:
    bones = [rig.bone_map.bones[f"{side}_hip"][0] for side in ("left", "right")]
    return np.mean([played[bone][:, :3, 3] @ rig.world[:3, :3].T + rig.world[:3, 3] for bone in bones], axis=0)


def _errors(rig: Rig, controls: Sequence[Control], played: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Control -> radians between where it is and shall be, at most."""
    return {
        c.bone: float(geodesic_distance(_turns(played[c.bone]), wanted_poses(rig, c)[:, :3, :3]).max())
        for c in controls
    }


def _turns(poses: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations of poses (N, 4, 4) without their scale."""
    return poses[:, :3, :3] / np.linalg.norm(poses[:, :3, :3], axis=1, keepdims=True)


def _with_ancestors(armature: Any, names: Sequence[str]) -> list[str]:
    """These bones and everything that they hang on, parents before children."""
    wanted = set()
    for name in names:
        bone = armature.data.bones[name]
        wanted |= {bone.name, *(parent.name for parent in bone.parent_recursive)}
    return sorted(wanted, key=lambda name: len(armature.data.bones[name].parent_recursive))


def _is_plain(armature: Any, bones: Sequence[str]) -> bool:
    """Nothing but keys moves these bones."""
    driven = armature.animation_data is not None and any(
        f'"{name}"' in curve.data_path for curve in armature.animation_data.drivers for name in bones
    )
    return not driven and not any(armature.pose.bones[name].constraints for name in bones)


def _set_properties(armature: Any, properties: Properties) -> dict[str, dict[str, float]]:
    """Set the custom properties that the rig has; what was set."""
    given: dict[str, dict[str, float]] = {}
    for name, values in properties.items():
        bone = armature.pose.bones.get(name)
        for key, value in values.items() if bone is not None else ():
            if key in bone:
                bone[key] = type(bone[key])(value)
                given.setdefault(name, {})[key] = value
    return given


def _replacing(before: Any | None, action: Any, armature: Any) -> Any:
    """Keep the action that the rig had, or remove it if it was an earlier retargeting's."""
    if before is not None and MARK in before and before.users == 0:
        bpy.data.actions.remove(before)
        action.name = f"{armature.name}_retarget"
    elif before is not None and before.users == 0:
        before.use_fake_user = True
    armature.update_tag()
    return action
