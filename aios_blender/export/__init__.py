"""People out of Blender: `export_people` writes FBX, GLB, USD, BVH or SMPL-X .npz files by the output's suffix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aios_core.errors import ExportError
from aios_core.output import check_writable, whole_file

from .bvh import write_bvh
from .fbx import preset_named, write_fbx
from .glb import write_glb
from .motion import Motion, sample
from .people import Person
from .smplx_npz import write_smplx_npz
from .usd import write_usd

SUFFIXES = (".fbx", ".glb", ".usd", ".usdc", ".usda", ".bvh", ".npz")
SINGLE = (".bvh", ".npz")
"""Formats that hold one person."""


@dataclass(frozen=True)
class ExportSettings:
    """How to export."""

    preset: str = "unity"
    """FBX only: 'unity' or 'unreal'."""
    with_mesh: bool = True
    one_file_each: bool = False
    """One file for each person, also where a format holds several."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    paths: list[Path]
    warnings: list[str] = field(default_factory=list)


def export_people(
    scene: Any, people: Sequence[Person], path: str | Path, settings: ExportSettings | None = None
) -> Exported:
    """Write the scene's frame range of these people to `path`, or to one file each beside it: 'clip_P01.bvh'.

    Raises:
        ExportError: an unknown suffix or preset.
        OutputError: a file cannot be written.
    """
    settings = settings or ExportSettings()
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ExportError(f"{path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    preset = preset_named(settings.preset)
    each = settings.one_file_each or suffix in SINGLE or (suffix == ".fbx" and preset.one_file_each)
    groups = [[i] for i in range(len(people))] if each else [list(range(len(people)))]
    paths = [path] if len(groups) == 1 else [path.with_stem(f"{path.stem}_{person.name}") for person in people]
    for each_path in paths:
        check_writable(each_path)
    motions = sample(people, scene)
    for group, each_path in zip(groups, paths, strict=True):
        own, moved = [people[i] for i in group], [motions[i] for i in group]
        with whole_file(each_path) as temporary:
            _write(scene, own, moved, temporary, each_path.stem, settings)
    return Exported(paths, _warnings(people, motions, suffix))


def _write(
    scene: Any, people: list[Person], motions: list[Motion], path: Path, title: str, settings: ExportSettings
) -> None:
    suffix = path.suffix.lower()
    if suffix == ".fbx":
        write_fbx(scene, people, motions, path, title, preset_named(settings.preset), settings.with_mesh)
    elif suffix == ".glb":
        write_glb(scene, people, motions, path, title, settings.with_mesh)
    elif suffix == ".bvh":
        write_bvh(motions[0], path)
    elif suffix == ".npz":
        write_smplx_npz(people[0], motions[0], path)
    else:
        write_usd(scene, people, motions, path, title, settings.with_mesh)


def _warnings(people: Sequence[Person], motions: Sequence[Motion], suffix: str) -> list[str]:
    warnings = []
    for person, motion in zip(people, motions, strict=True):
        gaps = ", ".join(f"{first}-{last}" for first, last in motion.gaps())
        if gaps and suffix != ".npz":
            warnings.append(f"{person.name} is not there in frames {gaps}: the pose before is held.")
        if suffix == ".npz" and person.armature.get("aios_body_family", "open") == "open":
            warnings.append(
                f"{person.name}: betas and expression are the open body's; SMPL-X reads other shapes in them."
            )
    return warnings
