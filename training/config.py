"""Configuration of a training run: frozen dataclasses; one preset is ours."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LossWeights:
    """Weight of every loss term. Names follow the paper's supplement B; the values are those of the open recipe."""

    classification: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    keypoints: float = 10.0
    oks: float = 4.0
    part_box: float = 2.0
    part_keypoints: float = 3.0
    global_orient: float = 1.0
    body_pose: float = 1.0
    hand_pose: float = 0.2
    jaw_pose: float = 0.2
    betas: float = 0.05
    expression: float = 0.02
    joints_3d: float = 4.0
    joints_2d: float = 2.0
    camera: float = 1.0
    encoder: float = 1.0
    """Dense one-to-many supervision of the encoder's tokens."""
    heatmap: float = 1.0
    denoising: float = 0.5
    """Everything the denoising copies predict."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    batch: int = 16
    width: int = 256
    height: int = 192
    """Size of training pictures, pixels."""
    max_zoom: float = 1.8
    """Pictures are cropped by up to this factor over showing all of them."""
    trunk_rate: float = 1.2e-3
    transformer_rate: float = 4e-4
    weight_decay: float = 0.02
    warmup_steps: int = 200
    decay_from: float = 0.65
    """Share of the run after which the learning rate falls along a cosine."""
    gradient_clip: float = 5.0
    ema: float = 0.998
    denoising_groups: int = 1
    box_noise: float = 0.35
    keypoint_noise: float = 0.12
    """Standard deviation of noised keypoints, in body box sizes."""
    tokens_per_person: int = 5
    """Encoder tokens assigned to each person."""
    bfloat16: bool = True
    seed: int = 0
    checkpoint_seconds: float = 120.0
    log_steps: int = 50
    weights: LossWeights = field(default_factory=LossWeights)


OPEN = TrainConfig()
"""The recipe of the shipped weights."""

PRESETS = {"open": OPEN}
