"""Configuration of the published recipe (paper section 3.5 and 4; supplement B; SPEC section 13).

Where the published program differs from the paper, the defaults are the program's. Its faults are fields of their own,
on by default because the published weights were trained with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from training.config import RunConfig
from training.data.humandata.augmentation import Augmentation


@dataclass(frozen=True)
class PerPart:
    """One number for each part."""

    body: float
    left_hand: float
    right_hand: float
    face: float


@dataclass(frozen=True)
class MatchCosts:
    """What counts when people and queries are matched."""

    classification: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    """Boxes: where a layer has no keypoints."""
    keypoints: float = 10.0
    oks: float = 4.0
    """Keypoints: instead of boxes where a layer has them."""


@dataclass(frozen=True)
class PaperLossWeights:
    """Weight of every term, the same in every layer that has it (but see `PaperConfig.layer4_divisor`)."""

    classification: float = 2.0
    box: PerPart = PerPart(5.0, 5.0, 5.0, 5.0)
    giou: PerPart = PerPart(2.0, 2.0, 2.0, 2.0)
    keypoints: PerPart = PerPart(10.0, 10.0, 10.0, 10.0)
    oks: PerPart = PerPart(4.0, 0.5, 0.5, 4.0)
    global_orient: float = 1.0
    pose: PerPart = PerPart(0.1, 0.1, 0.1, 0.1)
    """The face's pose is the jaw's."""
    betas: float = 0.01
    expression: float = 0.01
    joints_3d: PerPart = PerPart(1.0, 0.1, 0.1, 0.1)
    """From the pelvis."""
    joints_3d_aligned: PerPart = PerPart(1.0, 0.1, 0.1, 0.1)
    """Hands from their wrist and the face from the neck."""
    joints_2d: PerPart = PerPart(1.0, 0.5, 0.5, 0.1)
    denoising_classification: float = 0.3
    denoising_box: float = 2.5
    denoising_giou: float = 1.0


@dataclass(frozen=True)
class PaperConfig(RunConfig):
    """One run of the published recipe. The defaults are its first stage."""

    batch: int = 2
    """Pictures on each device."""
    phase: str = "pretrain"
    """Which data sets: 'pretrain' (AGORA, BEDLAM, COCO) or 'train' (all six)."""
    mixture: str = "published"
    """How often each data set is drawn: as the 'published' program or as the 'paper' says."""
    data_sets: tuple[str, ...] = ()
    """Only these, in the same proportions; empty for all."""
    absolute_hands: tuple[str, ...] = ()
    """Data sets whose hands are annotated from the flat hand instead of from SMPL-X's mean hand."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    rate: float = 1e-4
    backbone_rate: float = 1e-5
    weight_decay: float = 1e-4
    epochs: int = 200
    milestones: tuple[int, ...] = (30, 60)
    """Epochs after which the learning rate is multiplied by `milestone_factor`."""
    milestone_factor: float = 0.1
    gradient_clip: float = 0.1
    ema: float = 0.9997
    ema_warmup: bool = False
    bfloat16: bool = False
    checkpoint_seconds: float = 1800.0
    loader_workers: int = 4
    costs: MatchCosts = field(default_factory=MatchCosts)
    weights: PaperLossWeights = field(default_factory=PaperLossWeights)
    copies: int = 100
    """Denoising queries of a picture."""
    label_noise: float = 0.5
    """Share of the copies' labels that are replaced by a random one."""
    box_noise: float = 0.4
    """Copies' centres move by up to this times half a side, sides change by up to this times themselves."""
    layer4_divisor: float = 10.0
    """In the last layer but one, the weights of hands' and face's 3-d and of hands' 2-d joints are divided by this."""
    published_batch: float = 2.0
    """Pictures that terms which the published program sums over a device's pictures are counted for."""
    global_normalisers: bool = True
    """Terms are divided by counts over all devices, so that any number of devices gives the gradient that one device
    gives with all pictures. False divides by each device's own counts, as published."""
    jaw_is_summed: bool = True
    """Published fault: the jaw's term is a sum over people where the other rotations' are means."""
    face_points_counted_as_left_hand: bool = True
    """Published fault: the face points' term is divided by the number of people whose left hand's points are known."""
    part_oks_by_body_area: bool = True
    """Published fault: the similarity of hand and face points is measured against the area of the body's box."""


PAPER = PaperConfig()
"""First stage: from COCO keypoint weights (or any) on AGORA, BEDLAM and COCO."""

PAPER_FINETUNE = PaperConfig(phase="train", rate=1.414e-5, backbone_rate=1.414e-6)
"""Second stage: from the first, on all six data sets."""
