"""What differs between the data sets, as rows of one table (paper supplement B.1, SPEC sections 13.1, 13.5, 13.6)."""

from __future__ import annotations

from dataclasses import dataclass

KEYPOINTS_2D = (
    "keypoints2d_ori", "keypoints2d_smplx", "keypoints2d_smpl", "keypoints2d_original", "keypoints2d_gta",
    "keypoints2d",
)  # fmt: skip
KEYPOINTS_3D = (
    "keypoints3d_cam", "keypoints3d", "keypoints3d_smplx", "keypoints3d_smpl", "keypoints3d_original",
    "keypoints3d_gta",
)  # fmt: skip
"""The first of these that a file has is used."""


@dataclass(frozen=True)
class Kind:
    """One data set's rules."""

    name: str
    title: str
    every: int = 1
    """Every so many pictures are used in training (published configuration)."""
    every_paper: int = 0
    """The same as the paper states it, where it differs."""
    crop_share: float = 0.5
    """Chance that a crop is around some of the people instead of around all of them."""
    crop_probability: float = 0.3
    """Chance that a picture is cropped at all."""
    has_3d: bool = True
    """Whether 3-d joints are measured; pseudo annotations from pictures are not."""
    keypoints_2d: tuple[str, ...] = KEYPOINTS_2D
    part_validity_of_joints: bool = False
    """Keypoints of a part count only where the part is valid."""
    joints_3d_seen_in_2d: bool = False
    """Confidence of 3-d joints is that of the 2-d ones."""
    max_occlusion: float | None = None
    """From this percentage of occlusion (meta 'occ') on, a person's box alone is used."""
    meta_validity: bool = False
    """meta says which hands and faces are valid, and which people are to be left out."""
    for_training: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind("agora", "AGORA", crop_share=0.5, crop_probability=0.7, max_occlusion=97),
        Kind("bedlam", "BEDLAM", every=5, crop_share=0.6, crop_probability=0.7),
        Kind("coco", "COCO-NeuralAnnot", crop_share=0.6, crop_probability=0.7, has_3d=False,
             part_validity_of_joints=True),
        Kind("egobody", "EgoBody (egocentric)", every=5, every_paper=2),
        Kind("arctic", "ARCTIC", every=1000),
        Kind("ubody", "UBody", every=5, keypoints_2d=("keypoints2d_ubody", *KEYPOINTS_2D), meta_validity=True,
             part_validity_of_joints=True, joints_3d_seen_in_2d=True),
        Kind("ehf", "EHF", for_training=False),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How often each data set is drawn in the two phases of training."""

    pretrain: dict[str, float]
    train: dict[str, float]
    paper_subsampling: bool = False


PRETRAIN = {"agora": 0.4, "bedlam": 0.3, "coco": 0.3}
"""SPEC section 13.1; the paper names the three sets without numbers."""
RECIPES = {
    "paper": Recipe(
        PRETRAIN,
        {"agora": 0.2, "bedlam": 0.2, "coco": 0.2, "egobody": 0.2, "arctic": 0.1, "ubody": 0.1},
        paper_subsampling=True,
    ),
    "published": Recipe(
        PRETRAIN, {"agora": 0.2, "bedlam": 0.2, "coco": 0.2, "ubody": 0.2, "egobody": 0.1, "arctic": 0.1}
    ),
}
