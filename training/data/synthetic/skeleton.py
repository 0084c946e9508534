"""Captured: a skeleton's motion as any capture format has it, before it is put onto our body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Captured:
    """J joints over T frames in the file's own world and units; parents come before their children."""

    names: list[str]
    parents: list[int]
    """-1 for the root."""
    rest: np.ndarray
    """(J, 3) where joints are while nothing is turned,"""
    ends: np.ndarray
    """(J, 3) and where their bones end."""
    turned: np.ndarray
    """(T, J, 3, 3) each joint's rotation in the world against rest."""
    place: np.ndarray
    """(T, 3) of the root."""
    fps: float


def world_rotations(parents: list[int], local: np.ndarray) -> np.ndarray:
    """Rotations in the world (T, J, 3, 3) of those relative to the parents."""
    turned = np.empty_like(local)
    for j, parent in enumerate(parents):
        turned[:, j] = local[:, j] if parent < 0 else turned[:, parent] @ local[:, j]
    return turned


def from_angles(axes: str, degrees: np.ndarray) -> np.ndarray:
    """(T, 3, 3) of angles (T, N) about N axes; upper case: each about the axes turned by those before it."""
    if not axes:
        return np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    return Rotation.from_euler(axes, degrees, degrees=True).as_matrix().reshape(-1, 3, 3)
