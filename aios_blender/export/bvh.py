"""BVH: one person's 55 joints, y up, centimetres, Euler angles in the order z, x, y; the pelvis carries the place.

Written here, since Blender's own writer leaves out the object's transform and makes `root`, which does not move, the
only joint with a place. BVH knows no gaps, no shape and no expression: in a gap the last pose is held.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aios_core.body.joints import JOINT_NAMES, PARENTS

from .motion import Motion

CENTIMETRES = 100.0
Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""World x, y, z with z up to x, z, -y: whoever faces Blender's -y faces +z."""


def write_bvh(motion: Motion, path: Path) -> None:
    """Write one person's BVH file."""
    rest = Y_UP_FROM_Z_UP @ motion.world_rest(JOINT_NAMES)[:, :3, 3].T
    posed = motion.world_pose(JOINT_NAMES)
    turned = posed[..., :3, :3] @ np.linalg.inv(motion.world_rest(JOINT_NAMES)[:, :3, :3])
    turned = Y_UP_FROM_Z_UP @ turned @ Y_UP_FROM_Z_UP.T  # (T, 55, 3, 3) from rest to pose
    local = turned.copy()
    local[:, 1:] = np.swapaxes(turned[:, PARENTS[1:]], -1, -2) @ turned[:, 1:]
    places = posed[:, 0, :3, 3] @ Y_UP_FROM_Z_UP.T * CENTIMETRES
    channels = np.concatenate([places, np.degrees(euler_zxy(local[:, _depth_first()])).reshape(len(local), -1)], 1)
    lines = ["HIERARCHY", *_joint_lines(0, rest.T * CENTIMETRES, 0)]
    lines += ["MOTION", f"Frames: {len(channels)}", f"Frame Time: {1 / motion.fps:.9f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in channels]
    path.write_text("\n".join(lines) + "\n")


def euler_zxy(rotmats: np.ndarray) -> np.ndarray:
    """(T, ..., 3) angles z, x, y of rotations Rz @ Rx @ Ry (T, ..., 3, 3), without jumps in time."""
    x = np.arcsin(np.clip(rotmats[..., 2, 1], -1, 1))
    z = np.arctan2(-rotmats[..., 0, 1], rotmats[..., 1, 1])
    y = np.arctan2(-rotmats[..., 2, 0], rotmats[..., 2, 2])
    return np.unwrap(np.stack([z, x, y], -1), axis=0)


def _children(joint: int) -> list[int]:
    return np.flatnonzero(np.equal(PARENTS, joint)).tolist()


def _depth_first(joint: int = 0) -> list[int]:
    """The joints in the order of the hierarchy, which is the order of the channels."""
    return [joint, *(below for child in _children(joint) for below in _depth_first(child))]


def _joint_lines(joint: int, rest: np.ndarray, depth: int) -> list[str]:
    """The hierarchy below a joint, with rest joints (55, 3)."""
    indent = "\t" * depth
    above = PARENTS[joint]
    offset = rest[joint] - rest[above] if above >= 0 else np.zeros(3)
    place = "Xposition Yposition Zposition " if above < 0 else ""
    channels = f"CHANNELS {6 if place else 3} {place}Zrotation Xrotation Yrotation"
    lines = [
        f"{indent}{'ROOT' if above < 0 else 'JOINT'} {JOINT_NAMES[joint]}", f"{indent}{{",
        f"{indent}\tOFFSET {_numbers(offset)}", f"{indent}\t{channels}",
    ]  # fmt: skip
    children = _children(joint)
    for child in children:
        lines += _joint_lines(child, rest, depth + 1)
    if not children:
        end = 0.3 * offset
        lines += [f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET {_numbers(end)}", f"{indent}\t}}"]
    return [*lines, f"{indent}}}"]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
