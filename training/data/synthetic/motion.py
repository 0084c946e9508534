"""Poses to draw from: captured motion, with hands from other clips, mixed limbs and mirrors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aios_core.body.joints import JAW, LEFT_HAND, RIGHT_HAND
from aios_core.body.skinning import full_pose, mirrored_pose
from aios_core.errors import FootageError

ARMS = np.array([13, 14, 16, 17, 18, 19, 20, 21])


@dataclass(frozen=True)
class Motion:
    """All frames of all clips; rotations axis-angle in a Y-up world."""

    global_orient: np.ndarray
    """(N, 3)"""
    body_pose: np.ndarray
    """(N, 21, 3)"""
    transl: np.ndarray
    """(N, 3) pelvis, metres."""
    clip_start: np.ndarray
    """First frame of each clip, then N."""
    hands: np.ndarray
    """(M, 2, 15, 3) left and right hand poses."""


def load_motion(folder: Path) -> Motion:
    """Every .npz of a folder that holds body_pose, global_orient, transl and clip_start.

    Raises:
        FootageError: there is none.
    """
    clips, hands, starts, total = [], [np.zeros((1, 2, 15, 3), np.float32)], [], 0
    for path in _motion_files(folder):
        with np.load(path) as stored:
            clips.append({name: stored[name].astype(np.float32) for name in ("global_orient", "body_pose", "transl")})
            starts += (stored["clip_start"][:-1] + total).tolist()
            total += len(stored["global_orient"])
            if "left_hand_pose" in stored.files:
                hands.append(np.stack([stored["left_hand_pose"], stored["right_hand_pose"]], 1).astype(np.float32))
    if not clips:
        raise FootageError(f"{folder} holds no motion files (.npz with body_pose, global_orient, transl, clip_start).")
    joined = {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}
    return Motion(**joined, clip_start=np.array([*starts, total]), hands=np.concatenate(hands))


def _motion_files(folder: Path) -> list[Path]:
    """By name, without hidden ones: what a `retarget` that was killed had not finished."""
    return sorted(folder.glob("[!.]*.npz"))


@dataclass(frozen=True)
class Clip:
    """One clip, frame by frame, in a Y-up world."""

    full_pose: np.ndarray
    """(T, 55, 3) axis-angle; hands relaxed where the clip has none."""
    transl: np.ndarray
    """(T, 3) pelvis, metres."""


def clip_lengths(folder: Path) -> dict[str, int]:
    """Frames of every clip of a folder's motion files, by name."""
    lengths: dict[str, int] = {}
    for path in _motion_files(folder):
        with np.load(path) as stored:
            counts = np.diff(stored["clip_start"]).tolist()
            lengths = dict(zip(stored["clip_name"].tolist(), counts, strict=True)) | lengths
    return lengths


def load_clip(folder: Path, name: str, relaxed_hands: np.ndarray) -> Clip:
    """The clip of this name from any motion file of a folder.

    relaxed_hands: (2, 15, 3) left and right hand pose for clips without hands.

    Raises:
        FootageError: there is no such clip.
    """
    for path in _motion_files(folder):
        with np.load(path) as stored:
            names = stored["clip_name"].tolist()
            if name not in names:
                continue
            k = names.index(name)
            frames = slice(*stored["clip_start"][k : k + 2])
            hands = [np.broadcast_to(hand, (frames.stop - frames.start, 15, 3)) for hand in relaxed_hands]
            if "left_hand_pose" in stored.files:
                hands = [stored["left_hand_pose"][frames], stored["right_hand_pose"][frames]]
            pose = full_pose(stored["global_orient"][frames].astype(np.float32), stored["body_pose"][frames], *hands)
            return Clip(pose, stored["transl"][frames].astype(np.float32))
    raise FootageError(f"{folder} holds no clip called {name}.")


def sample_pose(motion: Motion, rng: np.random.Generator) -> np.ndarray:
    """(55, 3) axis-angle: one frame, half of the time with another frame's arms, hands from anywhere, small jitter."""
    # Clips are drawn before frames, so that long clips do not crowd out the others.
    pose = np.zeros((55, 3), np.float32)
    frame = _frame(motion, rng)
    pose[0], pose[1:22] = motion.global_orient[frame], motion.body_pose[frame]
    if rng.random() < 0.4:
        pose[ARMS] = motion.body_pose[_frame(motion, rng)][ARMS - 1]
    pose[[12, 15]] += rng.normal(0, 0.15, (2, 3))
    pose[1:22] += rng.normal(0, 0.03, (21, 3))
    for part, side in ((LEFT_HAND, 0), (RIGHT_HAND, 1)):
        pose[part] = sample_hand(motion.hands[:, side], rng)
    pose[JAW, 0] = max(0.0, rng.normal(0, 0.12))
    return mirrored_pose(pose) if rng.random() < 0.5 else pose


def sample_hand(hands: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(15, 3) a hand between two of the captured ones (M, 15, 3), as a whole and a little more or less for each finger.

    Fingers bend together (postural synergies; Santello et al. 1998), but not all alike.
    """
    first, second = (hands[rng.integers(len(hands))] * rng.uniform(0.3, 1.1) for _ in range(2))
    share = (rng.random() + np.repeat(rng.normal(0, 0.2, 5), 3)).clip(0, 1)[:, None]
    return first * (1 - share) + second * share


def _frame(motion: Motion, rng: np.random.Generator) -> int:
    clip = rng.integers(len(motion.clip_start) - 1)
    return int(rng.integers(motion.clip_start[clip], motion.clip_start[clip + 1]))
