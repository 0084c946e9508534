"""Acclaim files: a skeleton (.asf) and motions of it (.amc), as the CMU motion capture database has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aios_core.errors import FootageError
from training.data.synthetic.skeleton import Captured, from_angles, world_rotations

FPS = 120.0
"""Frame rate of the CMU database: the files do not say theirs."""


@dataclass
class _Bone:
    direction: np.ndarray = field(default_factory=lambda: np.zeros(3))
    length: float = 0.0
    axis: np.ndarray = field(default_factory=lambda: np.eye(3))
    """The frame in which its angles count."""
    dof: list[str] = field(default_factory=list)
    parent: str | None = None


def skeleton_of(amc: Path) -> Path:
    """The .asf of a motion: of its name, of its name up to the last underscore, or the only one in the folder.

    Raises:
        FootageError: there is none.
    """
    for stem in (amc.stem, amc.stem.rsplit("_", 1)[0]):
        if (path := amc.with_name(f"{stem}.asf")).is_file():
            return path
    found = list(amc.parent.glob("*.asf"))
    if len(found) != 1:
        raise FootageError(f"There is no skeleton (.asf) for {amc} beside it.")
    return found[0]


def read_amc(path: Path) -> Captured:
    """A motion, with the skeleton that lies beside it.

    Raises:
        FootageError: one of the two cannot be read, or is no such file.
    """
    skeleton = skeleton_of(path)
    try:
        bones, scale = _read_asf(skeleton.read_text(errors="replace"))
        return _captured(bones, _read_frames(path.read_text(errors="replace")), scale)
    except OSError as error:
        raise FootageError(f"Cannot read {error.filename}: {error.strerror}.") from error
    except (ValueError, IndexError, KeyError) as error:
        raise FootageError(f"{path} and {skeleton.name} are no complete AMC and ASF files: {error}.") from error


def _read_asf(text: str) -> tuple[dict[str, _Bone], float]:
    """Bones by name, parents before children, and degrees in a unit of the file's angles."""
    bones, order = {"root": _Bone()}, ["root"]
    section, bone, unit = "", bones["root"], 1.0
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split() or [""]
        if word.startswith(":"):
            section = word
        elif section == ":units" and word == "angle":
            unit = 1.0 if rest[0].startswith("deg") else 180 / np.pi
        elif section == ":root" and word == "order":
            bones["root"].dof = [name.lower() for name in rest]
        elif section == ":bonedata":
            if word == "begin":
                bone = _Bone()
            elif word == "name":
                bones[rest[0]] = bone
            else:
                _set(bone, word, rest, unit)
        elif section == ":hierarchy" and word in bones:
            for child in rest:
                bones[child].parent = word
                order.append(child)
    return {name: bones[name] for name in order}, unit


def _set(bone: _Bone, word: str, rest: list[str], unit: float) -> None:
    if word == "direction":
        bone.direction = np.array(rest[:3], float)
    elif word == "length":
        bone.length = float(rest[0])
    elif word == "axis":
        angles = np.array(rest[:3], float) * unit
        bone.axis = from_angles(rest[3].lower(), angles[None])[0]
    elif word == "dof":
        bone.dof = [name.lower() for name in rest]


def _read_frames(text: str) -> list[dict[str, np.ndarray]]:
    frames: list[dict[str, np.ndarray]] = []
    for line in text.splitlines():
        word, *rest = line.split() or ["#"]
        if word.isdigit() and not rest:
            frames.append({})
        elif frames:
            frames[-1][word] = np.array(rest, float)
    if not frames:
        raise ValueError("no frames")
    return frames


def _captured(bones: dict[str, _Bone], frames: list[dict[str, np.ndarray]], unit: float) -> Captured:
    names = list(bones)
    parents = [-1 if bones[name].parent is None else names.index(bones[name].parent) for name in names]
    rest, ends, local = np.zeros((len(names), 3)), np.zeros((len(names), 3)), []
    for j, (name, bone) in enumerate(bones.items()):
        rest[j] = ends[parents[j]] if parents[j] >= 0 else 0
        ends[j] = rest[j] + bone.direction / max(np.linalg.norm(bone.direction), 1e-9) * bone.length
        # A bone without degrees of freedom is in no frame; one that a frame leaves out is at rest in it.
        values = np.array([frame.get(name, np.zeros(len(bone.dof))) for frame in frames]).reshape(len(frames), -1)
        turns = [k for k, dof in enumerate(bone.dof) if dof.startswith("r")]
        angles = from_angles("".join(bone.dof[k][1] for k in turns), values[:, turns] * unit)
        local.append(bone.axis @ angles @ bone.axis.T)
    moves = [bones["root"].dof.index(f"t{axis}") for axis in "xyz"]
    place = np.array([frame["root"][moves] for frame in frames])
    return Captured(names, parents, rest, ends, world_rotations(parents, np.stack(local, 1)), place, FPS)
