"""BVH files: the hierarchy, then one line of channels a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aios_core.errors import FootageError
from training.data.synthetic.skeleton import Captured, from_angles, world_rotations


@dataclass
class _Hierarchy:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    ends: dict[int, list[float]] = field(default_factory=dict)
    """Offset of the end of a joint's bone: of its End Site or its first child."""


def read_bvh(path: Path) -> Captured:
    """A motion.

    Raises:
        FootageError: it cannot be read, or is no BVH file.
    """
    try:
        hierarchy, motion = path.read_text(errors="replace").split("MOTION", 1)
        tree = _read_hierarchy(hierarchy.split())
        _, count, _, _, seconds, *numbers = motion.split()
        width = sum(map(len, tree.channels))
        values = np.array(numbers, float).reshape(int(count), width)
        return _captured(tree, values, 1 / float(seconds))
    except OSError as error:
        raise FootageError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise FootageError(f"{path} is no complete BVH file: {error}.") from error


def _read_hierarchy(tokens: list[str]) -> _Hierarchy:
    tree, stack, at = _Hierarchy(), [], 0
    while at < len(tokens):
        word = tokens[at].upper()
        if word in ("ROOT", "JOINT"):
            tree.names.append(tokens[at + 1])
            tree.parents.append(stack[-1] if stack else -1)
            stack.append(len(tree.names) - 1)
            tree.channels.append([])
            at += 3  # name and {
        elif word == "END":
            stack.append(-1 - stack[-1])  # the end of that joint
            at += 3
        elif word == "OFFSET":
            offset = [float(x) for x in tokens[at + 1 : at + 4]]
            if stack[-1] < 0:
                tree.ends.setdefault(-1 - stack[-1], offset)
            else:
                tree.offsets.append(offset)
                if tree.parents[stack[-1]] >= 0:
                    tree.ends.setdefault(tree.parents[stack[-1]], offset)
            at += 4
        elif word == "CHANNELS":
            count = int(tokens[at + 1])
            tree.channels[stack[-1]] = tokens[at + 2 : at + 2 + count]
            at += 2 + count
        elif word == "}":
            stack.pop()
            at += 1
        else:
            at += 1
    if not tree.names:
        raise ValueError("no joints")
    return tree


def _captured(tree: _Hierarchy, values: np.ndarray, fps: float) -> Captured:
    local, place, start = [], np.tile(tree.offsets[0], (len(values), 1)).astype(float), 0
    for j, channels in enumerate(tree.channels):
        own = values[:, start : start + len(channels)]
        start += len(channels)
        turns = [k for k, name in enumerate(channels) if name.lower().endswith("rotation")]
        local.append(from_angles("".join(channels[k][0].upper() for k in turns), own[:, turns]))
        for k, name in enumerate(channels):
            if j == 0 and name.lower().endswith("position"):  # they stand instead of the root's offset
                place[:, "xyz".index(name[0].lower())] = own[:, k]
    rest = np.zeros((len(tree.names), 3))
    for j, parent in enumerate(tree.parents):
        rest[j] = np.array(tree.offsets[j]) + (rest[parent] if parent >= 0 else 0)
    ends = rest + np.array([tree.ends.get(j, [0, 0, 0]) for j in range(len(rest))], float)
    turned = world_rotations(tree.parents, np.stack(local, 1))
    return Captured(tree.names, tree.parents, rest, ends, turned, place, fps)
