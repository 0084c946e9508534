"""Bone maps: which bones of a rig take the motion of which SMPL-X joints. JSON files, presets, guesses by common names.

docs/retarget.md describes the file format. Neither numpy nor Blender is needed here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aios_core.body.joints import JOINT_NAMES
from aios_core.errors import ExportError

FORMAT, VERSION = "aios-bone-map", 1
FOLDER = Path(__file__).parent / "maps"
PRESETS = ("rigify", "rigify_metarig", "mixamo", "unreal5", "unreal", "smplx")
SIDES = ("left", "right")
REQUIRED = (
    "pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
"""Joints without which a rig cannot be moved."""
TORSO = ("spine1", "spine2", "spine3", "neck", "head")
"""Joints whose motion may be spread over several bones."""

Properties = Mapping[str, Mapping[str, float]]
"""Bone -> custom property -> value."""


@dataclass(frozen=True)
class FootControls:
    """Controls of one leg in a rig with inverse kinematics."""

    foot: str
    toe: str | None = None
    pole: str | None = None
    """Where the knee points."""
    locked: Properties = field(default_factory=dict)
    """Properties to set when these controls lead the leg ..."""
    free: Properties = field(default_factory=dict)
    """... and when the leg's own bones do."""


@dataclass(frozen=True)
class BoneMap:
    """From SMPL-X's joints to a rig's bones."""

    name: str
    bones: Mapping[str, tuple[str, ...]]
    """Joint -> bones, from the body outwards; several bones share the motion of one joint of the torso."""
    root: str | None = None
    """The control that carries the person's place; None: the pelvis's bone."""
    prefix: str = ""
    """Regular expression of what may stand before every name."""
    feet: Mapping[str, FootControls] = field(default_factory=dict)
    """'left' and 'right', in rigs that have them."""
    properties: Properties = field(default_factory=dict)

    @property
    def root_bone(self) -> str:
        """What carries the place."""
        return self.root or self.bones["pelvis"][0]


def load_bone_map(path: str | Path) -> BoneMap:
    """The bone map in a JSON file.

    Raises:
        ExportError: no such file, no bone map, or it names joints that there are not.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"No such bone map: {path} (presets: {', '.join(PRESETS)}).") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} is not a bone map ({error}).") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ExportError(f'{path} is not a bone map: it lacks "format": "{FORMAT}".')
    if stored.get("version", VERSION) > VERSION:
        raise ExportError(f"{path} was written by a newer version (format {stored['version']}): update.")
    try:
        return _checked(_from_json(stored, Path(path).stem), str(path))
    except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:
        raise ExportError(f"{path}: the bone map is damaged ({error!r}).") from error


def _from_json(stored: dict, name: str) -> BoneMap:
    bones = {joint: (value,) if isinstance(value, str) else tuple(value) for joint, value in stored["bones"].items()}
    re.compile(stored.get("prefix", ""))
    return BoneMap(
        name=str(stored.get("name", name)), bones={joint: value for joint, value in bones.items() if value},
        root=stored.get("root"), prefix=stored.get("prefix", ""),
        feet={side: FootControls(**controls) for side, controls in stored.get("feet", {}).items()},
        properties=stored.get("properties", {}),
    )  # fmt: skip


def _checked(bone_map: BoneMap, path: str) -> BoneMap:
    unknown = sorted(set(bone_map.bones) - set(JOINT_NAMES))
    if unknown:
        raise ExportError(f"{path}: '{unknown[0]}' is no SMPL-X joint (they are {', '.join(JOINT_NAMES[:22])}, ...).")
    spread = [joint for joint, bones in bone_map.bones.items() if len(bones) > 1 and joint not in TORSO]
    if spread:
        raise ExportError(f"{path}: {spread[0]} can have one bone only; several share {', '.join(TORSO)} alone.")
    every = [bone for bones in bone_map.bones.values() for bone in bones]
    twice = next((bone for bone in every if every.count(bone) > 1), None)
    if twice is not None:
        raise ExportError(f"{path}: bone '{twice}' stands for two joints.")
    return bone_map


def preset_map(name: str) -> BoneMap:
    """A bone map that comes with the extension."""
    return load_bone_map(FOLDER / f"{name}.json")


def choose_map(wanted: str, names: Iterable[str]) -> BoneMap:
    """The map called `wanted` ('auto', a preset or a JSON file) for a rig whose bones have these names.

    'auto': the preset that fits best, or else a guess by common names.

    Raises:
        ExportError: no such map.
    """
    names = list(names)
    if wanted in PRESETS:
        return resolved(preset_map(wanted), names)
    if wanted != "auto":
        return resolved(load_bone_map(wanted), names)
    found = [resolved(preset_map(preset), names) for preset in PRESETS]
    fitting = [each for each in found if not missing_joints(each)]
    # The fullest wins, and among equals the one that leaves out least of its own.
    wished = {preset_map(preset).name: len(preset_map(preset).bones) for preset in PRESETS}
    best = max(fitting, key=lambda each: (len(each.bones) - wished[each.name], len(each.bones)), default=None)
    return best or propose_map(names)


def resolved(bone_map: BoneMap, names: Iterable[str]) -> BoneMap:
    """The map with the names that the rig's bones really have, without the bones that are not there."""
    there = set(names)
    stripped = {re.sub(f"^({bone_map.prefix})", "", name): name for name in there} if bone_map.prefix else {}

    def find(name: str | None) -> str | None:
        return name if name in there else stripped.get(name) if name else None

    bones = {joint: tuple(filter(None, map(find, wanted))) for joint, wanted in bone_map.bones.items()}
    feet = {
        side: replace(controls, toe=find(controls.toe), pole=find(controls.pole), foot=find(controls.foot))
        for side, controls in bone_map.feet.items()
        if find(controls.foot)
    }
    return replace(
        bone_map, bones={joint: found for joint, found in bones.items() if found}, root=find(bone_map.root), feet=feet
    )


def missing_joints(bone_map: BoneMap) -> list[str]:
    """Joints that have no bone and need one."""
    return [joint for joint in REQUIRED if joint not in bone_map.bones]


def require_complete(bone_map: BoneMap, rig: str) -> None:
    """Raise ExportError if joints that need a bone have none."""
    missing = missing_joints(bone_map)
    if missing:
        raise ExportError(
            f"The bone map '{bone_map.name}' finds no bone in '{rig}' for {', '.join(missing)}: name them in a map "
            "file of your own (--save-map writes one to begin with)."
        )


def save_bone_map(bone_map: BoneMap, path: str | Path) -> None:
    """Write a map as JSON, with an empty entry for every joint that has no bone, ready to be filled in.

    Raises:
        OutputError: it cannot be written.
    """
    from aios_core.output import whole_file

    bones = {joint: list(bone_map.bones.get(joint, ())) for joint in JOINT_NAMES if "eye" not in joint}
    stored = {
        "format": FORMAT, "version": VERSION, "name": bone_map.name,
        **({"root": bone_map.root} if bone_map.root else {}),
        "bones": {joint: found[0] if len(found) == 1 else found for joint, found in bones.items()},
        **({"feet": {side: vars(controls) for side, controls in bone_map.feet.items()}} if bone_map.feet else {}),
        **({"properties": bone_map.properties} if bone_map.properties else {}),
    }  # fmt: skip
    with whole_file(Path(path)) as temporary:
        Path(temporary).write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


ROLES = {
    "hip": ("upleg", "upperleg", "thigh", "legupper"), "knee": ("leg", "lowerleg", "calf", "shin", "lowleg", "knee"),
    "ankle": ("foot", "ankle"), "foot": ("toe", "toes", "toebase", "ball"), "collar": ("clavicle", "collar"),
    "shoulder": ("upperarm", "uparm", "arm"), "elbow": ("forearm", "lowerarm", "lowarm", "elbow"),
    "wrist": ("hand", "wrist"),
}  # fmt: skip
"""Joints that come in pairs, and what their bones are called besides the joint's own name."""
FINGERS = {
    "thumb": "thumb", "index": "index", "middle": "middle", "mid": "middle", "ring": "ring", "pinky": "pinky",
    "little": "pinky",
}  # fmt: skip
SPINE = ("spine", "chest", "upperchest", "back", "abdomen")
HELPERS = ("twist", "roll", "ik", "pole", "helper", "mch", "end", "tip", "nub", "tweak", "target", "master", "palm")
NOISE = {"j", "bip", "bip01", "c", "m", "def", "org", "bone", "mixamorig", "cc", "base", "f", "fk", "jnt", "bind"}


def propose_map(names: Iterable[str]) -> BoneMap:
    """A guess by common names, in any spelling: 'LeftUpLeg', 'thigh_l', 'J_Bip_L_UpperLeg', 'Thigh.L', ...

    It may lack joints: `missing_joints` says which.
    """
    found: dict[str, tuple[str, ...]] = {}
    spine: list[tuple[int, str]] = []
    shoulders: dict[str, str] = {}
    for name in names:
        side, word, number = described(name)
        if word in HELPERS or any(helper in name.lower() for helper in HELPERS if len(helper) > 3):
            continue
        if side:
            if word in ("shoulder", "hip"):
                shoulders[f"{side}_{word}"] = name
                continue
            joint = _paired_joint(word, number)
            if joint:
                found.setdefault(f"{side}_{joint}", (name,))
        elif word in SPINE:
            spine.append((10 * SPINE.index(word) + (number or 0), name))
        elif word in ("pelvis", "hips", "hip"):
            found.setdefault("pelvis", (name,))
        elif word in ("neck", "head", "jaw"):
            found[word] = (*found.get(word, ()), name) if word == "neck" else (name,)
    for joint, name in shoulders.items():
        # A 'shoulder' is the collar bone where there is an upper arm besides, else the upper arm itself.
        taken = joint.endswith("shoulder") and joint in found
        found.setdefault(joint.replace("shoulder", "collar") if taken else joint, (name,))
    return BoneMap("proposed", found | spread_spine([name for _, name in sorted(spine)]))


def _paired_joint(word: str, number: int | None) -> str | None:
    joint = next((joint for joint, words in ROLES.items() if word == joint or word in words), None)
    if joint:
        return joint
    for spelling, finger in FINGERS.items():
        if word in (spelling, f"hand{spelling}", f"{spelling}finger") and number in (1, 2, 3):
            return f"{finger}{number}"
        for place, part in enumerate(("proximal", "intermediate", "distal"), 1):
            if word == spelling + part:
                return f"{finger}{place}"
    return None


def spread_spine(bones: list[str]) -> dict[str, tuple[str, ...]]:
    """Bones of a spine, from below, for SMPL-X's three joints."""
    if len(bones) < 3:
        joints = ("spine2",) if len(bones) == 1 else ("spine1", "spine3")
        return {joint: (bone,) for joint, bone in zip(joints, bones, strict=False)}
    cuts = [round(i * len(bones) / 3) for i in range(4)]
    return {f"spine{i + 1}": tuple(bones[cuts[i] : cuts[i + 1]]) for i in range(3)}


def described(name: str) -> tuple[str | None, str, int | None]:
    """A bone's side ('left', 'right' or None), what it is in small letters, and its number: 'f_index.01.L'."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.rsplit(":", 1)[-1])
    numbers = [int(word) for word in words if word.isdigit()]
    letters = [word.lower() for word in words if not word.isdigit()]
    side = next((s for s in SIDES for word in letters if word in (s, s[0])), None)
    rest = [word for word in letters if word not in (*SIDES, "l", "r") and word not in NOISE]
    return side, "".join(rest), numbers[-1] if numbers else None
