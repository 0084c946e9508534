"""Who can be exported: armatures that `scene.build` made (they carry `aios_track`), with the meshes bound to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy

from aios_core.errors import ExportError

TRACK = "aios_track"


@dataclass(frozen=True)
class Person:
    """One built person."""

    armature: Any
    meshes: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Short and fit for file names: 'P01' of 'P01_armature'."""
        return bpy.path.clean_name(self.armature.name.removesuffix("_armature"))


def built_people(scene: Any, tracks: Sequence[int] | None = None) -> list[Person]:
    """Everybody built in the scene, by track id, or those with the given ids.

    Raises:
        ExportError: there is nobody, or nobody with one of the ids.
    """
    armatures = [o for o in scene.objects if o.type == "ARMATURE" and TRACK in o]
    if not armatures:
        raise ExportError(f"Scene '{scene.name}' holds nobody to export: import a Mocap first.")
    missing = sorted(set(tracks or ()) - {int(a[TRACK]) for a in armatures})
    if missing:
        there = ", ".join(str(int(a[TRACK])) for a in armatures)
        raise ExportError(f"There is no person {missing[0]} in scene '{scene.name}' (there are {there}).")
    chosen = [a for a in armatures if not tracks or int(a[TRACK]) in tracks]
    return [person_of(a) for a in sorted(chosen, key=lambda a: (int(a[TRACK]), a.name))]


def selected_people(scene: Any, selected: Sequence[Any]) -> list[Person]:
    """Those of whom the armature or a mesh is among the selected objects.

    Raises:
        ExportError: none is.
    """
    chosen = [p for p in built_people(scene) if p.armature in selected or any(m in selected for m in p.meshes)]
    if not chosen:
        raise ExportError("Nobody is selected: select a person's armature or mesh, or export everybody.")
    return chosen


def person_of(armature: Any) -> Person:
    """An armature with all meshes that it deforms."""
    meshes = [
        o for o in armature.children_recursive if o.type == "MESH" and any(_binds(m, armature) for m in o.modifiers)
    ]
    return Person(armature, tuple(meshes))


def _binds(modifier: Any, armature: Any) -> bool:
    return modifier.type == "ARMATURE" and modifier.object == armature
