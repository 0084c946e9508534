"""Configuration of a training run: frozen dataclasses. `RunConfig` is what every recipe has; `OPEN` is ours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class RunConfig:
    """What the loop needs to know, whatever the recipe."""

    batch: int = 16
    """Pictures on each device."""
    accumulate: int = 1
    """Batches whose gradients make one step: as if a batch had so many times the pictures."""
    gradient_clip: float = 5.0
    """Greatest norm of the gradient; it is scaled down to this."""
    ema: float = 0.998
    """Decay of the averaged weights."""
    ema_warmup: bool = True
    """Early steps count more in the averaged weights."""
    bfloat16: bool = True
    """Matrix products in half precision (autocast)."""
    rate_factors: tuple[tuple[str, float], ...] = ()
    """(beginning of a parameter's name, factor on its learning rate); the longest beginning that fits counts."""
    seed: int = 0
    checkpoint_seconds: float = 120.0
    checkpoints_kept: int = 2
    shard_mebibytes: int = 512
    """Largest size of a checkpoint's files."""
    log_steps: int = 50
    loader_workers: int = 0
    """Processes that prepare pictures, on each device; 0 = the process that trains does it itself."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of every loss term. Names follow the paper's supplement B; the values are those of the open recipe."""

    classification: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    keypoints: float = 30.0
    oks: float = 4.0
    part_box: float = 0.5
    part_keypoints: float = 1.0
    global_orient: float = 1.0
    body_pose: float = 1.0
    hand_pose: float = 0.2
    jaw_pose: float = 0.2
    betas: float = 0.05
    expression: float = 0.02
    joints_3d: float = 4.0
    joints_aligned: float = 16.0
    """The same once the person is turned, scaled and moved as fits best: what the limbs do, whichever way one faces."""
    joints_2d: float = 2.0
    camera: float = 1.0
    encoder: float = 1.0
    """Dense one-to-many supervision of the encoder's tokens."""
    heatmap: float = 10.0
    side: float = 10.0
    """Whether a limb is a left one, asked where limbs are seen."""
    denoising: float = 0.5
    """Everything the denoising copies predict."""


@dataclass(frozen=True)
class SmallPictures:
    """How a run of the open recipe begins. From small pictures a network learns more in the same time, but for their
    details; see the fields of the same name of `TrainConfig`, whose place these take."""

    share: float = 0.0
    """For so much of the run, 0..1."""
    batch: int = 16
    scales: tuple[float, float] = (0.5, 0.75)
    paired_share: float = 0.9


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """One run of the open recipe."""

    scales: tuple[float, float] = (0.7, 1.12)
    """Pictures are shown this many times as large as the network looks at, drawn anew in every step. Its own size lies
    inside: at the edge of what it has seen it is worse."""
    max_zoom: float = 2.5
    """Pictures are cropped by up to this factor over showing all of them, around one of the people."""
    paired_share: float = 0.5
    """Share of the pictures that are two crops side by side."""
    small: SmallPictures = field(default_factory=SmallPictures)
    draw_on_device: bool = False
    """Crops and colours of pictures are computed where the network is: beside a GPU, processors cannot keep up."""
    dense_steps: int = 0
    """First steps, in which backbone and encoder alone learn from boxes and heat-maps: they cost half."""
    matrix_rate: float = 6e-4
    """Learning rate of what Muon trains: the matrices and filters inside the network;"""
    trunk_rate: float = 3e-4
    """of the rest of the trunk,"""
    transformer_rate: float = 5e-4
    """and of everything else."""
    weight_decay: float = 0.02
    warmup_steps: int = 200
    decay_from: float = 0.25
    """Share of the run after which the learning rate falls along a cosine."""
    denoising_groups: int = 1
    denoised_people: int = 5
    """People of each picture, largest first, who get denoising copies."""
    kept_people: int = 12
    """Queries kept after the box stage in training; the finished network keeps more."""
    box_noise: float = 0.35
    keypoint_noise: float = 0.12
    """Standard deviation of noised keypoints, in body box sizes."""
    tokens_per_person: int = 5
    """Encoder tokens assigned to each person."""
    weights: LossWeights = field(default_factory=LossWeights)


OPEN = TrainConfig()
"""The recipe of the shipped weights."""

PRESETS = {"open": OPEN}


def at_progress(config: TrainConfig, progress: float) -> TrainConfig:
    """The settings that hold when so much of the run has passed."""
    small = config.small
    if progress >= small.share:
        return config
    return replace(config, batch=small.batch, scales=small.scales, paired_share=small.paired_share)
