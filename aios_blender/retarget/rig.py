"""The rig that takes the motion: its rest pose in the world, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from aios_core.errors import ExportError

from .bone_map import BoneMap
from .rest_alignment import TOWARDS, body_axes


@dataclass(frozen=True)
class Rig:
    """An armature object at rest. Matrices act on columns; joints are SMPL-X's names."""

    armature: Any
    bone_map: BoneMap
    """Complete, with the names that the armature has."""
    world: np.ndarray
    """(4, 4) the object in the world, a uniform scale included."""
    axes: np.ndarray
    """(3, 3) from the world to SMPL-X's axes."""
    heads: Mapping[str, np.ndarray]
    """Joint -> (3,) head of its (first) bone, world."""
    ends: Mapping[str, np.ndarray]
    """Joint -> (3,) where a bone ends that leads to no mapped one, world."""
    ground: float
    """World z of the soles at rest."""

    @property
    def own_turn(self) -> np.ndarray:
        """(3, 3) the object's rotation."""
        return self.world[:3, :3] / self.scale

    @property
    def scale(self) -> float:
        """Metres a unit of the armature."""
        return float(np.cbrt(np.linalg.det(self.world[:3, :3])))

    def rest_turn(self, bone: str) -> np.ndarray:
        """(3, 3) a bone's axes at rest, world."""
        return self.own_turn @ np.array(self.armature.data.bones[bone].matrix_local)[:3, :3]

    def rest_head(self, bone: str) -> np.ndarray:
        """(3,) a bone's head at rest, world."""
        return _moved(self.world, self.armature.data.bones[bone].head_local)

    def in_smplx_axes(self, places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The places (3,) in SMPL-X's axes."""
        return {joint: self.axes @ place for joint, place in places.items()}


def rig_of(armature: Any, bone_map: BoneMap) -> Rig:
    """The armature with a complete bone map.

    Raises:
        ExportError: its scale, its rest pose or its link to a library does not allow it to be moved.
    """
    if armature.library is not None:
        raise ExportError(f"'{armature.name}' is linked from another file: make a library override first.")
    world = np.array(armature.matrix_world, np.float64)
    _check_scale(armature.name, world)
    bones = armature.data.bones
    root = bones[bone_map.root_bone]
    if root.parent is not None and root.use_connect:
        raise ExportError(f"Bone '{root.name}' is connected to its parent and cannot be moved: disconnect it.")
    heads = {joint: _moved(world, bones[found[0]].head_local) for joint, found in bone_map.bones.items()}
    for joint, end in TOWARDS.items():
        if joint in heads and end in heads and np.linalg.norm(heads[joint] - heads[end]) < 1e-6:
            first, second = bone_map.bones[joint][0], bone_map.bones[end][0]
            raise ExportError(f"Bones '{first}' and '{second}' begin in one place: the bone map of {joint} is wrong.")
    axes = body_axes(heads, world[:3, :3] / np.linalg.norm(world[:3, :3], axis=0))
    ends = {
        joint: _moved(world, _end_of(bones[found[-1]]))
        for joint, found in bone_map.bones.items()
        if TOWARDS.get(joint) not in bone_map.bones
    }
    return Rig(armature, bone_map, world, axes, heads, ends, _ground(armature, world, heads, ends, axes[1]))


def _check_scale(name: str, world: np.ndarray) -> None:
    lengths = np.linalg.norm(world[:3, :3], axis=0)
    if np.linalg.det(world[:3, :3]) <= 0 or np.ptp(lengths) > 1e-3 * lengths.max():
        raise ExportError(f"'{name}' is scaled unevenly or mirrored: apply its scale (Ctrl+A) first.")


def _end_of(bone: Any) -> Any:
    """Where a bone ends: at its only child, for bones whose tails point anywhere, or else at its tail."""
    if len(bone.children) == 1 and (bone.children[0].head_local - bone.head_local).length > 1e-6:
        return bone.children[0].head_local
    return bone.tail_local


def _moved(matrix: np.ndarray, point: Any) -> np.ndarray:
    return matrix[:3, :3] @ np.array(point) + matrix[:3, 3]


def _ground(armature: Any, world: np.ndarray, heads: Mapping, ends: Mapping, up: np.ndarray) -> float:
    """How far along `up` the soles are: of the meshes, or else the object's origin if it lies plausibly, or bones."""
    ankle = min(heads["left_ankle"] @ up, heads["right_ankle"] @ up)
    leg = abs((heads["left_hip"] - heads["left_ankle"]) @ up)
    bones = [place @ up for place in _feet(heads, ends)]

    def is_plausible(height: float) -> bool:
        return ankle - 0.35 * leg <= height <= min([*bones, ankle]) + 0.02 * leg

    meshes = [_lowest(mesh, up) for mesh in _meshes_of(armature)]
    found = [height for height in [min(meshes, default=np.inf), world[:3, 3] @ up] if is_plausible(height)]
    return float(found[0] if found else min([*bones, ankle]))


def _feet(heads: Mapping, ends: Mapping) -> list[np.ndarray]:
    names = [f"{side}_{joint}" for side in ("left", "right") for joint in ("ankle", "foot")]
    return [places[name] for places in (heads, ends) for name in names if name in places]


def _meshes_of(armature: Any) -> list[Any]:
    return [
        thing
        for thing in bpy.data.objects
        if thing.type == "MESH" and len(thing.data.vertices)
        and any(m.type == "ARMATURE" and m.object == armature for m in thing.modifiers)
    ]  # fmt: skip


def _lowest(mesh: Any, up: np.ndarray) -> float:
    vertices = np.empty(3 * len(mesh.data.vertices), np.float32)
    mesh.data.vertices.foreach_get("co", vertices)
    matrix = np.array(mesh.matrix_world)
    return float((vertices.reshape(-1, 3) @ (up @ matrix[:3, :3])).min() + up @ matrix[:3, 3])
