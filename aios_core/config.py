"""Configuration of the network and of a capture: frozen dataclasses whose defaults are the published model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class BackboneConfig:
    """A ResNet. The defaults are ResNet-50 as published."""

    block: str = "bottleneck"
    """'bottleneck' (expansion 4) or 'basic'."""
    depths: tuple[int, ...] = (3, 4, 6, 3)
    """Residual blocks in layer1..layer4."""
    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels inside the blocks of layer1..layer4 (bottleneck outputs are four times as wide)."""
    stem_width: int = 64
    """Channels of the 7x7 stem."""
    frozen_norm: bool = True
    """Batch norms hold fixed statistics and are not trained (published); False trains them."""


@dataclass(frozen=True)
class ModelConfig:
    """AiOS. The defaults are the published sizes (paper section 3; INTEROP)."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    feature_strides: tuple[int, ...] = (8, 16, 32)
    """Strides of the backbone's maps that become feature levels; one more level halves the last."""
    hidden_dim: int = 256
    """Channels of a token; a multiple of 32 and of the heads."""
    heads: int = 8
    sampling_points: int = 4
    """Sampling points per head and level of deformable attention."""
    feedforward_dim: int = 2048
    encoder_layers: int = 6
    queries: int = 900
    """Box queries of the first decoder stage."""
    proposal_overlap: float | None = None
    """Proposals that a better one overlaps by more than this (IoU) come later: one token of each person first. None =
    proposals in the order of their scores alone."""
    people: int = 100
    """Queries kept after the first stage; each becomes a person."""
    box_layers: int = 2
    """Decoder layers with body boxes only."""
    body_layers: int = 2
    """Decoder layers with body joints and part boxes added."""
    whole_body_layers: int = 2
    """Decoder layers with hand and face joints added."""
    classes: int = 2
    """Class logits per query; class 1 is 'person' in the published model."""
    mlp_dim: int = 256
    """Hidden width of the SMPL-X heads (the box and joint heads use hidden_dim)."""
    learned_content: bool = False
    """First queries start from a learned vector instead of the memory token they were selected at."""
    camera_focal_px: float = 5000.0
    """Focal length of the predicted camera, pixels of the resized picture."""
    box_relative_camera: bool = False
    """The camera head's numbers are relative to the person's box instead of to the picture."""
    body_family: str = "smplx"
    """Whose betas and expressions the heads predict: 'smplx' or 'open'."""
    hands_relative_to_mean: bool = True
    """Predicted hand axis-angles are relative to SMPL-X's mean hand (true of the published checkpoint)."""
    identity_dim: int = 0
    """Outputs of the linear layer behind person tokens (at length 1) that tells people apart; 0 = there is none."""
    short_side: int = 800
    """Pictures are resized to this shorter side ..."""
    long_side: int = 1333
    """... unless the longer side would exceed this."""
    antialias: bool = False
    """Shrink pictures by averaging areas; the published model samples them bilinearly."""
    letterbox: bool = False
    """Pictures are fitted, with grey bars, into canvases of about their shape and about short_side times long_side
    pixels, whose sides the strides divide: a network that knows no padding."""
    canvas: tuple[int, int] | None = None
    """(width, height) of pictures in whose shares the network measures places and sizes in all pictures, so that they
    are as many pixels everywhere (`model/canvas.py`). None = in shares of the picture at hand."""

    @property
    def levels(self) -> int:
        """Number of feature levels."""
        return len(self.feature_strides) + 1

    @property
    def decoder_layers(self) -> int:
        """Number of decoder layers."""
        return self.box_layers + self.body_layers + self.whole_body_layers

    def at_scale(self, scale: float) -> ModelConfig:
        """The same network, looking at pictures so many times as wide and as tall."""
        return replace(self, short_side=round(self.short_side * scale), long_side=round(self.long_side * scale))


AIOS = ModelConfig()
"""The published model."""

OPEN = ModelConfig(
    backbone=BackboneConfig(
        block="basic", depths=(2, 2, 2, 2), widths=(32, 64, 128, 256), stem_width=32, frozen_norm=False
    ),
    hidden_dim=128, heads=4, feedforward_dim=512, encoder_layers=2, queries=100, people=16, body_layers=2,
    whole_body_layers=2, mlp_dim=256, learned_content=True, camera_focal_px=1000.0, box_relative_camera=True,
    classes=1, body_family="open", hands_relative_to_mean=False, short_side=552, long_side=920, antialias=True,
    letterbox=True, canvas=(480, 288), proposal_overlap=0.5,
)  # fmt: skip
"""The compact model trained by `training/` and shipped."""

PRESETS = {"aios": AIOS, "open": OPEN}


@dataclass(frozen=True)
class RefineConfig:
    """How measured tracks become clean motion."""

    keypoint_weight: float = 0.3
    """How much the network's 2-d keypoints count against its camera when people are placed, 0..1."""
    body_seconds: float = 0.8
    """Strength of smoothing for the body's rotations: slower motion is kept, faster motion only where it is plainly
    stronger than the noise. 0 leaves the measurements as they are."""
    hands_seconds: float = 0.6
    """The same for the hands,"""
    face_seconds: float = 0.4
    """for jaw and expression,"""
    place_seconds: float = 0.6
    """for where people stand across the line of sight,"""
    depth_seconds: float = 2.0
    """and for how far away they are, which one camera sees worst."""
    longest_gap_seconds: float = 0.5
    """Shorter gaps are closed by interpolation; longer ones stay gaps."""
    replace_outliers: bool = True
    """Turned-about people, swapped limbs and leaps in depth that last a few frames are replaced."""
    order_depths: bool = True
    """People whom others hide are moved behind those, where sizes say something else."""
    sizes_from_ground: bool = True
    """Who would float over the common ground or sink into it is built taller or smaller, as far away as that takes."""
    level_camera: bool = False
    """The camera was held level: only its height comes from where people stand, not its roll and pitch."""
    lock_feet: bool = True
    """Planted feet rest on the ground."""
    fit_picture: bool = False
    """The bodies' joints are brought onto the network's 2-d joints: some seconds of optimisation a person."""


@dataclass(frozen=True)
class CaptureConfig:
    """How footage becomes people."""

    weights: str = "open"
    """'open', 'aios' or the path of a weights file."""
    body: str | None = None
    """Path of a body file; None = the open body."""
    device: str | None = None
    """'cpu', 'cuda', 'mps', ...; None = the best there is."""
    threshold: float | None = None
    """Least score of a person, 0..1; None = the one that the weights state, else 0.3, the published setting that keeps
    hard cases."""
    max_people: int | None = None
    """People kept in a frame, best scores first; None = everybody."""
    duplicate_overlap: float = 0.4
    """Of two detections the better scored is kept when box overlap times keypoint similarity is more than this."""
    fov_deg: float | None = None
    """Horizontal field of view of the shot, degrees."""
    focal_px: float | None = None
    """Focal length of the shot, pixels; goes before fov_deg. Neither: EXIF, else how people walk, else the picture's
    diagonal."""
    camera_path: str | None = None
    """File with the matrices of a camera that moved (see camera_path.py); None = it stood still."""
    start: int = 0
    """First frame."""
    stop: int | None = None
    """Frame to stop before; None = the end."""
    step: int = 1
    """Every how many frames."""
    sequence_fps: float = 24.0
    """Frame rate of image sequences, which carry none."""
    scale: float = 1.0
    """Size at which the network looks at pictures, as a factor on that of its training: smaller is faster and sees
    less."""
    fast: bool = False
    """Trade people for speed: pictures at 0.7 of their size, if the network knows several sizes, and queries that are
    hopeless after the box stage are dropped. docs/fast.md says what is lost."""
    thorough: bool = False
    """Look at the mirror image of every picture as well and take the mean: nearer, and twice the time. docs/fast.md."""
    precision: str = "float32"
    """Of the network's matrix products: 'float32', or 'bfloat16' or 'float16' on devices that are faster at those."""
    batch: int | None = None
    """Frames a forward pass takes; None = as many as the device works through fastest, by the size of the pictures."""
    memory_seconds: float = 0.7
    """How long somebody who is not seen is waited for before the track ends."""
    refine: RefineConfig = RefineConfig()
    """How what the network saw becomes clean motion."""


__all__ = ["AIOS", "OPEN", "PRESETS", "BackboneConfig", "CaptureConfig", "ModelConfig", "RefineConfig", "replace"]
