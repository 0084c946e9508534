"""Put motion capture onto our body: python -m training.data.synthetic.retarget FILES... --out poses/mine.npz

Reads .bvh and .amc (with its .asf beside it) and writes the motion file that `generate --poses` takes. Joints are
found by their usual names. SMPL-X's rest pose is the T-pose: where a file's skeleton rests otherwise, its limbs' rest
directions are taken into account.
"""

from __future__ import annotations

import argparse
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from aios_core.body.body_model import BodyModel
from aios_core.body.files import open_body
from aios_core.errors import AiosError, FootageError
from aios_core.output import whole_file
from training.data.synthetic.acclaim import read_amc
from training.data.synthetic.bvh import read_bvh
from training.data.synthetic.motion import Clip
from training.data.synthetic.skeleton import Captured

FPS = 30.0
"""Of what is written."""
SIDED = {
    1: "upleg thigh femur hip", 4: "leg shin tibia lowleg knee", 7: "foot ankle", 10: "toebase toe toes",
    13: "shoulder collar clavicle", 16: "arm uparm upperarm humerus shldr", 18: "forearm lowarm radius elbow",
    20: "hand wrist",
}  # fmt: skip
"""Usual names of the left side's joints; those of the right side are the next in SMPL-X's order (19 and 21 after 18
and 20). Earlier names are preferred."""
MIDDLE = {
    0: "hips root pelvis hip", 3: "lowerback spine abdomen", 6: "upperback spine1 chest", 9: "thorax spine2 chest2",
    12: "lowerneck neck neck1", 15: "upperneck head",
}  # fmt: skip
NEXT = {1: 4, 2: 5, 4: 7, 5: 8, 7: 10, 8: 11, 16: 18, 17: 19, 18: 20, 19: 21}
"""The joint towards which a limb's bone points."""
NEEDED = (0, 1, 2, 4, 5, 16, 17, 18, 19)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help=".bvh and .amc files")
    parser.add_argument("--out", type=Path, required=True, help="motion file (.npz) to write")
    options = parser.parse_args(arguments)
    try:
        body = open_body()
        clips = [on_body(read_captured(path), body) for path in options.files]
        starts = np.cumsum([0] + [len(clip.transl) for clip in clips])
        with whole_file(options.out) as temporary, temporary.open("wb") as file:
            np.savez(
                file, global_orient=np.concatenate([clip.full_pose[:, 0] for clip in clips]),
                body_pose=np.concatenate([clip.full_pose[:, 1:22] for clip in clips]),
                transl=np.concatenate([clip.transl for clip in clips]), clip_start=starts,
                clip_name=np.array([path.stem for path in options.files]), fps=FPS,
            )  # fmt: skip
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {len(clips)} clips, {starts[-1]} frames")
    return 0


def read_captured(path: Path) -> Captured:
    """A .bvh or .amc file.

    Raises:
        FootageError: it cannot be read, or is of another kind.
    """
    readers = {".bvh": read_bvh, ".amc": read_amc}
    if path.suffix.lower() not in readers:
        raise FootageError(f"{path} is no motion capture that can be read: .bvh and .amc are.")
    return readers[path.suffix.lower()](path)


def joints_by_name(names: list[str]) -> dict[int, int]:
    """SMPL-X's joints (0 to 21) and which of the named ones they are.

    Raises:
        FootageError: hips, legs or arms are not among them.
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.lower().split(":")[-1]) for name in names]
    has_collars = any("collar" in name or "clavicle" in name for name in plain)
    found: dict[int, int] = {}
    for joint, words in MIDDLE.items():
        _note(found, joint, plain, words.split())
    for joint, words in SIDED.items():
        usual = words.split()
        if has_collars and "shoulder" in usual:
            usual.remove("shoulder")
        elif has_collars and joint == 16:
            usual.append("shoulder")
        for right, (long, short) in enumerate((("left", "l"), ("right", "r"))):
            spelt = [s for word in usual for s in (long + word, short + word, word + long, word + short)]
            _note(found, joint + right, plain, spelt)
    missing = [j for j in NEEDED if j not in found]
    if missing:
        raise FootageError(f"The skeleton has no joints with usual names for all of hips, legs and arms: {names}.")
    return found


def _note(found: dict[int, int], joint: int, plain: list[str], words: list[str]) -> None:
    place = next((plain.index(word) for word in words if word in plain), None)
    if place is not None and place not in found.values():
        found[joint] = place


def on_body(captured: Captured, body: BodyModel) -> Clip:
    """The motion on our body, at FPS frames a second, hands flat, in a Y-up world in metres."""
    joints = joints_by_name(captured.names)
    frames = np.arange(0, len(captured.place), captured.fps / FPS).round().astype(int)
    frames = frames[frames < len(captured.place)]
    facing = _facing(captured.rest, joints)
    world = np.zeros((len(frames), 22, 3, 3))
    rests = np.zeros((22, 3, 3))
    for j in range(22):
        parent = int(body.parents[j])
        rests[j] = _rest_turn(captured, joints, j, body, facing, rests[parent] if j else np.eye(3))
        if j in joints:
            turned = captured.turned[frames, joints[j]]
            world[:, j] = facing.T @ turned @ facing @ rests[j]
        else:
            world[:, j] = world[:, parent] @ rests[parent].T @ rests[j]
    parents = np.maximum(body.parents[:22], 0)
    local = np.swapaxes(world[:, parents], -1, -2) @ world
    local[:, 0] = world[:, 0]
    pose = np.zeros((len(frames), 55, 3), np.float32)
    pose[:, :22] = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 22, 3)
    scale = _leg(body.joint_template, {j: j for j in range(22)}) / _leg(captured.rest, joints)
    return Clip(pose, (captured.place[frames] @ facing * scale).astype(np.float32))


def _facing(rest: np.ndarray, joints: dict[int, int]) -> np.ndarray:
    """(3, 3) the file's world from ours, in which people at rest look along +Z, their left at +X, Y up."""
    left = rest[joints[1]] - rest[joints[2]] + rest[joints[16]] - rest[joints[17]]
    up = rest[[joints[16], joints[17]]].mean(0) - rest[[joints[4], joints[5]]].mean(0)
    up = np.eye(3)[np.abs(up).argmax()] * np.sign(up[np.abs(up).argmax()])  # the world's axis nearest to the body's
    left = left - up * (left @ up)
    left /= np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)], 1)


def _rest_turn(
    captured: Captured, joints: dict[int, int], j: int, body: BodyModel, facing: np.ndarray, of_parent: np.ndarray
) -> np.ndarray:
    """(3, 3) what turns our limb's bone in T-pose to where the file's rests; the ends of limbs follow their parents."""
    if j not in NEXT or j not in joints:
        return of_parent if j in (7, 8, 10, 11, 20, 21) else np.eye(3)
    end = captured.rest[joints[NEXT[j]]] if NEXT[j] in joints else captured.ends[joints[j]]
    theirs = (end - captured.rest[joints[j]]) @ facing
    ours = body.joint_template[NEXT[j]] - body.joint_template[j]
    if np.linalg.norm(theirs) < 1e-9:
        return of_parent
    return _between(ours, theirs)


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that turns direction a to direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        axis, sine = np.cross(a, np.eye(3)[np.abs(a).argmin()]), 0.0
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.arctan2(sine, a @ b)).as_matrix()


def _leg(rest: np.ndarray, joints: dict[int, int]) -> float:
    """Length of the left thigh and, where there is an ankle, shin."""
    chain = [rest[joints[j]] for j in (1, 4, 7) if j in joints]
    return float(sum(np.linalg.norm(b - a) for a, b in pairwise(chain)))


if __name__ == "__main__":
    sys.exit(main())
