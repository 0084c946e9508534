"""Noised copies of true boxes as denoising queries, as published: boxes alone, 100 a picture (SPEC section 13.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from aios_core.model.denoising import DenoisingQueries
from aios_core.model.position import inverse_sigmoid
from training.paper.config import PaperConfig
from training.paper.matcher import PERSON
from training.paper.targets import PictureTargets

LABELS = 100
"""Noised labels are drawn from this many."""
NOBODY = 2
"""Label of the copies of a picture without people."""


def noised_copies(
    pictures: list[PictureTargets], config: PaperConfig, generator: torch.Generator
) -> tuple[DenoisingQueries, Tensor]:
    """The copies of each picture's people, and the clean boxes (B, M, 4) they were made of.

    A picture's people are repeated as often as they go into `config.copies`, and random ones of them fill the rest.
    A picture without people gets random boxes, which see each other.
    """
    clean, groups = zip(*(repeated(p.boxes.float(), config.copies, generator) for p in pictures), strict=True)
    boxes = torch.stack(clean)
    people = torch.tensor([len(p.boxes) > 0 for p in pictures])
    labels = torch.where(people, PERSON, NOBODY)[:, None].repeat(1, config.copies)
    is_noised = torch.rand(labels.shape, generator=generator) < config.label_noise
    labels = torch.where(is_noised, torch.randint(LABELS, labels.shape, generator=generator), labels)
    copies = DenoisingQueries(
        labels=labels,
        # Through the logit and back, which keeps boxes off the edges of 0..1.
        boxes=inverse_sigmoid(noised(boxes, config.box_noise, generator)).sigmoid(),
        group=torch.stack(groups),
    )
    return copies, boxes


def repeated(boxes: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` of the boxes (n, 4), over and over, and the number (count,) of the round each belongs to."""
    people = len(boxes)
    if not people:
        return torch.rand(count, 4, generator=generator), torch.zeros(count, dtype=torch.long)
    whole = count // people * people
    number = torch.arange(whole) % people
    rest = torch.randint(people, (count - whole,), generator=generator)
    return boxes[torch.cat([number, rest])], torch.arange(count) // people


def noised(boxes: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Boxes (..., 4) cxcywh moved by up to `amount` of half a side, sides changed by up to `amount` of themselves."""
    reach = torch.cat([boxes[..., 2:] / 2, boxes[..., 2:]], -1) * amount
    return (boxes + (torch.rand(boxes.shape, generator=generator) * 2 - 1) * reach).clamp(0, 1)
