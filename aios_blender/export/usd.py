"""USD (.usd, .usdc, .usda): UsdSkel skeletons with blend shapes; z up, metres, the scene's own frame numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from .duplicates import DuplicateSettings, duplicates
from .motion import Motion
from .people import Person
from .run import run


def write_usd(
    scene: Any, people: Sequence[Person], motions: Sequence[Motion], path: Path, title: str, with_mesh: bool = True
) -> None:
    """Write a USD file of these people.

    Raises:
        OutputError: Blender cannot write it.
    """
    settings = DuplicateSettings(title, int(motions[0].frames[0]), with_mesh)
    with duplicates(scene, people, motions, settings) as own:
        run(
            own, bpy.ops.wm.usd_export, filepath=str(path), check_existing=False, export_animation=True,
            export_armatures=True, export_shapekeys=True, only_deform_bones=False, export_hair=False,
            export_custom_properties=True, evaluation_mode="RENDER", root_prim_path="/root",
        )  # fmt: skip
