"""Sample: one picture with everybody in it labelled, and shards of samples on disk.

A shard is `images-NNNNN.npy` (N, H, W, 3) uint8, memory-mapped when read, and `labels-NNNNN.npz`, in which people are
padded to the largest count and `counts` says how many there are. Shards appear whole (written under another name, then
renamed, labels last), so that training may read a folder that is still being filled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

MAX_PEOPLE = 10


@dataclass(frozen=True)
class Sample:
    """One picture and its P people. Camera space: x right, y down, z forward, metres; principal point in the middle."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    focal_px: float
    full_pose: np.ndarray
    """(P, 55, 3) axis-angle; joint 0 is global_orient in camera space."""
    betas: np.ndarray
    """(P, 10)"""
    expression: np.ndarray
    """(P, 10)"""
    transl: np.ndarray
    """(P, 3) metres, added to the body as it comes out of the body model."""
    joints: np.ndarray
    """(P, 144, 3) camera space."""
    joints_visible: np.ndarray
    """(P, 144) bool: inside the picture and not hidden by somebody or something else."""
    boxes_xyxy_px: np.ndarray
    """(P, 4) around the dressed person, clipped to the picture."""
    left_hand_boxes_xyxy_px: np.ndarray
    """(P, 4) not clipped."""
    right_hand_boxes_xyxy_px: np.ndarray
    face_boxes_xyxy_px: np.ndarray
    visible_fraction: np.ndarray
    """(P,) share of the person that is inside the picture and not hidden."""


def without_people(image: np.ndarray, focal_px: float) -> Sample:
    """A picture (H, W, 3) in which there is nobody."""

    def none(*shape: int, dtype: type = np.float32) -> np.ndarray:
        return np.zeros((0, *shape), dtype)

    return Sample(
        image, focal_px, none(55, 3), none(10), none(10), none(3), none(144, 3), none(144, dtype=bool), none(4),
        none(4), none(4), none(4), none(),
    )  # fmt: skip


LABELS = tuple(f.name for f in fields(Sample) if f.name not in ("image", "focal_px"))


def joints_px(sample: Sample) -> np.ndarray:
    """The 144 joints (P, 144, 2) in pixels."""
    height, width = sample.image.shape[:2]
    depth = np.maximum(sample.joints[..., 2:], 1e-3)
    return sample.joints[..., :2] / depth * sample.focal_px + np.array([width / 2, height / 2], np.float32)


def write_shard(folder: str | os.PathLike, number: int, samples: Iterable[Sample]) -> None:
    """Write one shard of samples of equal picture size."""
    samples = list(samples)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = folder / f"images-{number:05d}.npy", folder / f"labels-{number:05d}.npz"
    np.save(folder / f".{images.name}", np.stack([sample.image for sample in samples]))
    padded = {"counts": np.array([len(sample.betas) for sample in samples], np.int32)}
    padded["focal_px"] = np.array([sample.focal_px for sample in samples], np.float32)
    for name in LABELS:
        first = getattr(samples[0], name)
        array = np.zeros((len(samples), MAX_PEOPLE, *first.shape[1:]), first.dtype)
        for i, sample in enumerate(samples):
            array[i, : padded["counts"][i]] = getattr(sample, name)
        padded[name] = array
    np.savez(folder / f".{labels.name}", **padded)
    (folder / f".{images.name}").replace(images)
    (folder / f".{labels.name}").replace(labels)


@dataclass(frozen=True)
class Shard:
    """An open shard; `sample(i)` copies one sample out of it."""

    images: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.labels["counts"])

    def sample(self, i: int) -> Sample:
        """The shard's i-th sample."""
        count = int(self.labels["counts"][i])
        return Sample(
            image=np.array(self.images[i]),
            focal_px=float(self.labels["focal_px"][i]),
            **{name: self.labels[name][i, :count] for name in LABELS},
        )


def list_shards(folder: str | os.PathLike) -> list[int]:
    """Numbers of the complete shards in a folder, in order."""
    return sorted(int(path.stem.split("-")[1]) for path in Path(folder).glob("labels-*.npz"))


def read_shard(folder: str | os.PathLike, number: int) -> Shard:
    """Open one shard; pictures stay on disk until they are asked for."""
    folder = Path(folder)
    with np.load(folder / f"labels-{number:05d}.npz") as stored:
        labels = {name: stored[name] for name in stored.files}
    return Shard(images=np.load(folder / f"images-{number:05d}.npy", mmap_mode="r"), labels=labels)
