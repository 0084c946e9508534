"""Plain duplicates for exporters: the same people in a scene of their own, moved by nothing but a key a frame.

Constraints, NLA strips, animated objects and gaps are resolved by `motion.sample` before; what exporters see are bones
with keys. Duplicates carry the names of their originals, which are renamed meanwhile and get them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from aios_core.geometry.rotations import continuous_quat_wxyz, rotmat_to_quat_wxyz

from .. import compat
from ..scene.keyframes import LINEAR, fill_curve, write_curves
from ..scene.mesh import SLIDER
from .motion import Motion, held_values, scene_like, shape_key_values
from .people import Person

NEGLIGIBLE = 1e-7


@dataclass(frozen=True)
class DuplicateSettings:
    """What the duplicates are like."""

    title: str
    """Name of their scene, which exporters take for the animation's."""
    first_frame: int
    """Where the first sampled frame goes."""
    with_mesh: bool = True
    scale: float = 1.0
    """Size of everything, in the data: 100 for a file in centimetres."""
    armature_name: str | None = None
    """Instead of the original's."""


@contextmanager
def duplicates(
    scene: Any, people: Sequence[Person], motions: Sequence[Motion], settings: DuplicateSettings
) -> Iterator[Any]:
    """A scene with the duplicates, for exporters that take a context; it is gone afterwards, also after an error."""
    names = _BorrowedNames()
    before = {kind: set(getattr(bpy.data, kind)) for kind in _KINDS}
    try:
        with scene_like(scene) as own, ExitStack() as stack:
            stack.callback(_remove_new, before, own)
            own.name = settings.title
            own.frame_start = settings.first_frame
            own.frame_end = settings.first_frame + len(motions[0].frames) - 1
            for person, motion in zip(people, motions, strict=True):
                _duplicate(person, motion, own, settings, names)
            own.frame_set(own.frame_start)
            yield own
    finally:
        names.give_back()


_KINDS = ("objects", "armatures", "meshes", "actions")


def _remove_new(before: dict[str, set], own: Any) -> None:
    """Remove what was made since `before`: the duplicates and whatever an exporter left."""
    for thing in list(own.collection.objects):
        bpy.data.objects.remove(thing)
    for kind, known in before.items():
        bpy.data.batch_remove([thing for thing in getattr(bpy.data, kind) if thing not in known])


class _BorrowedNames:
    """Names taken from data blocks for a while."""

    def __init__(self) -> None:
        self._lenders: list[tuple[Any, str]] = []

    def take(self, kind: Any, borrower: Any, name: str) -> None:
        """Name a new data block like one that is there already."""
        lender = kind.get(name)
        if lender is not None and lender != borrower and lender.library is None:
            self._lenders.append((lender, name))
            lender.name = f"{name}.lent"
        borrower.name = name

    def give_back(self) -> None:
        """Give every name back."""
        while self._lenders:
            lender, name = self._lenders.pop()
            lender.name = name


def _duplicate(person: Person, motion: Motion, own: Any, settings: DuplicateSettings, names: _BorrowedNames) -> None:
    original = person.armature
    armature = original.copy()
    armature.data = original.data.copy()
    own.collection.objects.link(armature)
    names.take(bpy.data.objects, armature, settings.armature_name or original.name)
    names.take(bpy.data.armatures, armature.data, settings.armature_name or original.data.name)
    _make_plain(armature)
    place = motion.world[0].copy()
    place[:3, 3] *= settings.scale
    armature.matrix_world = Matrix(place)
    # As text: not every format knows arrays.
    armature["aios_betas"] = ", ".join(f"{beta:.4f}" for beta in armature.get("aios_betas", ()))
    armature["aios_gaps"] = ", ".join(f"{first}-{last}" for first, last in motion.gaps())
    _scale_data(armature.data, settings.scale)
    action = compat.actions_for(settings.title, 1)[0]
    times = settings.first_frame + np.arange(len(motion.frames))
    _key_bones(armature, action, motion, times, settings.scale)
    if settings.with_mesh:
        for mesh in person.meshes:
            _duplicate_mesh(mesh, original.matrix_world, armature, action, motion, times, own, settings, names)


def _make_plain(armature: Any) -> None:
    """Nothing but keys shall move it."""
    armature.animation_data_clear()
    armature.data.animation_data_clear()
    armature.parent = None
    armature.hide_viewport = armature.hide_render = False
    armature.constraints.clear()
    for bone in armature.pose.bones:
        while bone.constraints:
            bone.constraints.remove(bone.constraints[0])
        bone.rotation_mode = "QUATERNION"
        bone.matrix_basis = Matrix()
    for bone in armature.data.bones:
        bone.use_inherit_rotation = bone.use_local_location = True
        bone.inherit_scale = "FULL"


def _scale_data(data: Any, scale: float) -> None:
    if scale == 1:
        return
    data.transform(Matrix.Scale(scale, 4))


def local_transforms(motion: Motion) -> np.ndarray:
    """(T, J, 4, 4) of every bone from its rest place in its parent; roots take over the object's movement."""
    pose, rest = motion.pose, motion.rest
    still = np.linalg.inv(motion.world[0])[None, None] @ motion.world[:, None]
    child = motion.parents >= 0
    above = np.broadcast_to(np.linalg.inv(still), (len(pose), len(rest), 4, 4)).copy()
    above[:, child] = pose[:, motion.parents[child]] @ np.linalg.inv(rest[motion.parents[child]])
    return np.linalg.inv(above @ rest) @ pose


def _key_bones(armature: Any, action: Any, motion: Motion, times: np.ndarray, scale: float) -> None:
    local = local_transforms(motion)
    sizes = np.linalg.norm(local[..., :3, :3], axis=-2)  # (T, J, 3)
    quaternions = continuous_quat_wxyz(rotmat_to_quat_wxyz(local[..., :3, :3] / sizes[..., None, :]))
    modes = np.full(len(times), LINEAR, np.uint8)
    bag = compat.channelbag(armature, action, armature.name)
    for j, name in enumerate(motion.bones):
        path = armature.pose.bones[name].path_from_id()
        write_curves(bag, f"{path}.rotation_quaternion", name, times, quaternions[:, j], modes)
        if np.abs(local[:, j, :3, 3]).max() > NEGLIGIBLE:
            write_curves(bag, f"{path}.location", name, times, local[:, j, :3, 3] * scale, modes)
        if np.abs(sizes[:, j] - 1).max() > 1e-4:
            write_curves(bag, f"{path}.scale", name, times, sizes[:, j], modes)


def _duplicate_mesh(
    original: Any,
    person_matrix: Any,
    armature: Any,
    action: Any,
    motion: Motion,
    times: np.ndarray,
    own: Any,
    settings: DuplicateSettings,
    names: _BorrowedNames,
) -> None:
    values = held_values(shape_key_values(original, motion.frames), motion.visible)
    offset = np.array(person_matrix.inverted() @ original.matrix_world)
    offset[:3, 3] *= settings.scale
    mesh = original.copy()
    mesh.data = original.data.copy()
    own.collection.objects.link(mesh)
    names.take(bpy.data.objects, mesh, original.name)
    names.take(bpy.data.meshes, mesh.data, original.data.name)
    mesh.animation_data_clear()
    mesh.hide_viewport = mesh.hide_render = False
    mesh.parent = armature
    mesh.matrix_parent_inverse = Matrix()
    mesh.matrix_basis = Matrix(offset)
    for modifier in mesh.modifiers:
        if modifier.type == "ARMATURE":
            modifier.object = armature
    if settings.scale != 1:
        mesh.data.transform(Matrix.Scale(settings.scale, 4), shape_keys=True)
    if not values:
        return
    keys = mesh.data.shape_keys
    keys.animation_data_clear()
    if not compat.HAS_SLOTS:
        action = compat.actions_for(settings.title, 1)[0]
    bag = compat.channelbag(keys, action, mesh.name)
    modes = np.full(len(times), LINEAR, np.uint8)
    for name, column in values.items():
        block = keys.key_blocks[name]
        block.slider_min, block.slider_max = min(block.slider_min, -SLIDER), max(block.slider_max, SLIDER)
        fill_curve(compat.new_fcurve(bag, block.path_from_id("value"), 0, "expression"), times, column, modes)
