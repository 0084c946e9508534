"""What is retargeted: one person's motion in the world, from a built armature or straight from a Mocap's track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import EXTRA_JOINT_NAMES, EXTRA_JOINT_VERTICES, JOINT_NAMES
from aios_core.body.skinning import forward_kinematics, full_pose, rest_joints, rest_vertices
from aios_core.body.transfer import body_for_shape
from aios_core.errors import ExportError
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.mocap import CONTACT_POINTS, Mocap

from .. import compat
from ..coordinates import camera_to_world_points, frame_numbers
from ..export.motion import sample
from ..export.people import Person
from ..scene.armature import lowest_point

HIPS, ANKLES, BALLS = (
    [JOINT_NAMES.index(f"{side}_{joint}") for side in ("left", "right")] for joint in ("hip", "ankle", "foot")
)
HEEL_VERTICES = [EXTRA_JOINT_VERTICES[EXTRA_JOINT_NAMES.index(name)] for name in ("left_heel", "right_heel")]
HEEL_BEHIND = 0.4
"""How far a heel is behind the ankle, as a share of the way from ankle to ball, where there is no mesh."""


@dataclass(frozen=True)
class Performance:
    """One person over N frames, in the upright world: z up, metres."""

    name: str
    times: np.ndarray
    """(N,) Blender frames, increasing."""
    frames: np.ndarray
    """(N,) int, one apart but where the person is not there."""
    fps: float
    rest: np.ndarray
    """(55, 3) joints at rest in SMPL-X's axes."""
    sole: float
    """Height of the soles at rest, same axes."""
    heels: np.ndarray
    """(2, 3) left and right heel at rest, same axes."""
    turns: np.ndarray
    """(N, 55, 3, 3) from SMPL-X's axes at rest to the posed joint in the world."""
    hips: np.ndarray
    """(N, 3) the middle between the hip joints."""
    contacts: np.ndarray
    """(N, 4) bool: which of CONTACT_POINTS stand on the ground."""
    ground: float = 0.0
    """World z that they stand at: other than 0 for people who were lifted onto a stage by hand."""


def performance_of_person(person: Person, scene: Any) -> Performance:
    """What Blender plays for a built person, whatever was changed by hand.

    Raises:
        ExportError: the person has no keys, or does not play them.
    """
    armature = person.armature
    if "aios_first_frame" not in armature:
        raise ExportError(f"{person.name} has no keys to retarget.")
    if armature.data.pose_position == "REST":
        raise ExportError(f"{person.name} is shown at rest: choose Pose Position first.")
    frames = np.arange(int(armature["aios_first_frame"]), int(armature["aios_last_frame"]) + 1)
    motion = sample([person], scene, frames)[0]
    seen = motion.visible
    places = motion.world_pose(JOINT_NAMES)[seen]
    size = np.cbrt(np.linalg.det(motion.world[0, :3, :3]))
    rest = motion.rest[[motion.bones.index(name) for name in JOINT_NAMES], :3, 3]
    return Performance(
        name=person.name, times=frames[seen].astype(float), frames=frames[seen], fps=motion.fps,
        rest=size * rest, sole=size * lowest_point(armature), heels=size * _heels(person, rest),
        turns=_without_scale(places[..., :3, :3]),
        hips=places[..., :3, 3][:, HIPS].mean(1), contacts=_contacts(armature, frames[seen]),
        ground=float(motion.world[0, 2, 3]),
    )  # fmt: skip


def _heels(person: Person, rest: np.ndarray) -> np.ndarray:
    """(2, 3) of the person's mesh, or a likely place behind the ankles (55, 3) where there is none."""
    if person.meshes and len(person.meshes[0].data.vertices) > max(HEEL_VERTICES):
        return np.array([person.meshes[0].data.vertices[i].co for i in HEEL_VERTICES])
    return rest[ANKLES] - HEEL_BEHIND * (rest[BALLS] - rest[ANKLES])


def _without_scale(matrices: np.ndarray) -> np.ndarray:
    return matrices / np.linalg.norm(matrices, axis=-2, keepdims=True)


def _contacts(armature: Any, frames: np.ndarray) -> np.ndarray:
    curves = {curve.data_path: curve for curve in compat.fcurves_of(armature)}
    answer = np.zeros((len(frames), 4), bool)
    for i, point in enumerate(CONTACT_POINTS):
        curve = curves.get(f'["aios_contact_{point}"]'.replace(" ", "_"))
        if curve is not None:
            answer[:, i] = [curve.evaluate(float(frame)) > 0.5 for frame in frames]
    return answer


def performance_of_track(found: Mocap, number: int | None, body: BodyModel, first_frame: int = 1) -> Performance:
    """The motion of a Mocap's track, by its id; without one, of the only or first track.

    Raises:
        ExportError: there is no such track, or it is empty.
    """
    track = next((t for t in found.tracks if number is None or t.id == number), None)
    if track is None or not len(track):
        there = ", ".join(str(t.id) for t in found.tracks) or "nobody"
        raise ExportError(f"There is no person {number if number is not None else ''} in {found.source} ({there}).")
    fitted, betas, _ = body_for_shape(body, track.betas, found.body_family)
    rest = rest_joints(fitted, betas).astype(np.float64)
    pose = full_pose(track.global_orient, track.body_pose, track.left_hand_pose, track.right_hand_pose, track.jaw_pose)
    places = forward_kinematics(
        axis_angle_to_rotmat(pose.astype(np.float64)), np.broadcast_to(rest, pose.shape), fitted.parents
    )
    vertices = rest_vertices(fitted, betas).astype(np.float64)
    cameras = found.camera_to_world if len(found.camera_to_world) == 1 else found.camera_to_world[track.frames]
    hips = places[..., :3, 3][:, HIPS].mean(1) + track.transl
    return Performance(
        name=track.name, times=frame_numbers(found.timestamps, float(found.fps), first_frame)[track.frames],
        frames=track.frames, fps=float(found.fps), rest=rest, sole=float(vertices[:, 1].min()),
        heels=vertices[HEEL_VERTICES],
        turns=cameras[:, None, :3, :3] @ places[..., :3, :3], hips=camera_to_world_points(hips, cameras),
        contacts=track.contacts,
    )  # fmt: skip
