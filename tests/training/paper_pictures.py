"""Made-up targets of the published recipe, a data set of them, and a recipe that is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from aios_core.body.files import open_body
from tests.core.toy_model import TOY
from training.paper.config import PAPER
from training.paper.recipe import PaperRecipe
from training.paper.targets import PictureTargets


def picture_of(boxes: torch.Tensor, seed: int = 0, size_px: tuple[int, int] = (96, 64)) -> PictureTargets:
    """Somebody random in every box (n, 4): 3 in 4 of everything is valid."""
    random = torch.Generator().manual_seed(seed)
    n = len(boxes)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(n, *shape, generator=random)

    def within(*shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, generator=random)

    def valid(*shape: int) -> torch.Tensor:
        return (within(*shape) < 0.75).float()

    return PictureTargets(
        image_size_px=size_px, has_3d=bool(seed % 2 == 0), boxes=boxes.float(), boxes_valid=valid(),
        part_boxes=torch.cat([within(3, 2), 0.1 + 0.2 * within(3, 2)], -1), part_boxes_valid=valid(3),
        keypoints=within(17, 2), keypoints_valid=valid(17), part_keypoints=within(3, 6, 2),
        part_keypoints_valid=valid(3, 6), pose=normal(53, 3) * 0.3, pose_valid=valid(53), betas=normal(10),
        betas_valid=valid(), expression=normal(10), expression_valid=valid(), joints_3d=normal(137, 3) * 0.4,
        joints_3d_valid=valid(137), body_joints_3d=normal(137, 3) * 0.4, body_joints_3d_valid=valid(137),
        joints_2d=within(137, 2), joints_2d_valid=valid(137),
    )  # fmt: skip


@dataclass(frozen=True)
class MadeUpPictures:
    """Random pictures of two sizes with nobody to three people: the interface of the real mixture."""

    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Pictures of an epoch, of all devices."""
        return 8

    def sample(self, index: int) -> tuple[torch.Tensor, PictureTargets]:
        """The same for the same index, which counts this device's pictures."""
        seed = index * self.world + self.rank
        random = torch.Generator().manual_seed(seed)
        people = seed % 4
        boxes = torch.cat([torch.rand(people, 2, generator=random), torch.full((people, 2), 0.3)], -1)
        width, height = (96, 64) if seed % 3 else (64, 64)
        return torch.randn(3, height, width, generator=random), picture_of(boxes, seed, (width, height))


SMALL = replace(
    TOY, backbone=replace(TOY.backbone, frozen_norm=True), body_family="open", hands_relative_to_mean=False
)  # fmt: skip
QUICK = replace(PAPER, copies=7, loader_workers=0, log_steps=1, shard_mebibytes=1, rate=1e-3, ema=0.9)


def recipe(config=QUICK, pictures=None) -> PaperRecipe:
    return PaperRecipe(config, SMALL, pictures or MadeUpPictures(), open_body())
