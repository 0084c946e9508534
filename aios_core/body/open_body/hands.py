"""Hand poses: the relaxed hand as the mean, principal components of drawn grasps."""

from __future__ import annotations

import numpy as np

from aios_core.body.joints import FINGERS
from aios_core.body.open_body.skinning_weights import JOINT

_RELAXED = np.deg2rad([18, 24, 12, 23, 29, 14, 30, 32, 16, 27, 31, 15, 4, 12, 12])
_CURL = {"index": 0.85, "middle": 1.0, "pinky": 1.05, "ring": 1.05}  # share of a grasp each finger takes
_SPLAY = {"index": 9, "middle": 1, "pinky": -12, "ring": -5}  # degrees
_DOWN = np.array([0.0, -1.0, 0.0])


def finger_axes(joints: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Flexion and abduction axes (15, 3) of a hand's finger joints in the T-pose; joints: (55, 3)."""
    flexion, abduction = np.zeros((15, 3)), np.zeros((15, 3))
    for f, finger in enumerate(FINGERS):
        heads = [joints[JOINT[f"{side}_{finger}{i}"]] for i in (1, 2, 3)]
        towards = _DOWN
        if finger == "thumb":
            towards = _unit(joints[JOINT[f"{side}_pinky1"]] - heads[0]) + 0.6 * _DOWN
        for i in range(3):
            along = _unit(heads[min(i, 1) + 1] - heads[min(i, 1)])
            flexion[3 * f + i] = _unit(np.cross(along, towards))
            abduction[3 * f + i] = _unit(np.cross(flexion[3 * f + i], along))
    return flexion, abduction


def relaxed_hand(joints: np.ndarray, side: str) -> np.ndarray:
    """(45,) axis-angle of a hand at rest."""
    return (_RELAXED[:, None] * finger_axes(joints, side)[0]).ravel()


def hand_components(joints: np.ndarray, side: str, count: int = 3000) -> np.ndarray:
    """(45, 45) principal directions of drawn hand poses, the most common first, largest entry positive."""
    poses = draw_hands(np.random.default_rng(2), joints, side, count)
    components = np.linalg.svd(poses - poses.mean(0), full_matrices=False)[2]
    largest = np.abs(components).argmax(1)
    return components * np.sign(components[np.arange(45), largest])[:, None]


def draw_hands(rng: np.random.Generator, joints: np.ndarray, side: str, count: int) -> np.ndarray:
    """(count, 45) axis-angle poses from simple synergies: grasp, splay, pointing, noise."""
    flexion, abduction = finger_axes(joints, side)
    bend, spread = np.zeros((count, 15)), np.zeros((count, 15))
    grasp = rng.beta(1.6, 2.6, count)
    for f, finger in enumerate(("index", "middle", "pinky", "ring")):
        pointing = rng.random(count) < (0.16 if finger == "index" else 0.04)
        curl = np.clip(grasp * _CURL[finger] + 0.07 * rng.normal(size=count), 0, 1.05) * np.where(pointing, 0.15, 1)
        share = np.stack([curl * 82, (0.12 + 0.95 * curl) * 92, (0.10 + 0.75 * curl) * 62], -1)
        bend[:, 3 * f : 3 * f + 3] = share + 4 * rng.normal(size=(count, 3))
        splay = np.clip(0.5 * rng.normal(size=count) + 0.2, -1, 1.2)
        spread[:, 3 * f] = _SPLAY[finger] * splay * (1 - 0.8 * curl)
    bend[:, 12] = -4 + 26 * grasp + 9 * rng.normal(size=count)
    bend[:, 13] = np.clip(5 + 38 * grasp + 10 * rng.normal(size=count), -10, 60)
    bend[:, 14] = np.clip(8 + 42 * grasp + 14 * rng.normal(size=count), -15, 75)
    spread[:, 12] = 9 * rng.normal(size=count)
    sign = 1 if side == "left" else -1
    return np.deg2rad(bend[..., None] * flexion + sign * spread[..., None] * abduction).reshape(count, 45)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
