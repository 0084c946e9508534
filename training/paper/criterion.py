"""The published loss of one batch: every layer matched to the people on its own, its terms weighed and summed.

Scores and body boxes count in the encoder's proposals and in every layer, the copies in every layer; part boxes, joints
and the body from the body stage on; hands, face, jaw and expression in the whole-body stage (SPEC section 13.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aios_core.model.predictions import LayerPredictions, Predictions
from training.paper.config import PaperConfig
from training.paper.losses import (
    body_terms,
    box_terms,
    classification,
    copy_terms,
    joint_terms,
    keypoint_terms,
    matched,
    weight_of,
)
from training.paper.matcher import match
from training.paper.normalisers import PARTS
from training.paper.targets import BatchTargets

JointsOf = Callable[[LayerPredictions, bool], Tensor]
"""(k, 137, 3) joints from the pelvis's frame of k people; True: with their hands and faces."""


@dataclass(frozen=True)
class Losses:
    """The weighted sum, and its terms before they were weighed, detached, as 'term/place'."""

    total: Tensor
    terms: dict[str, Tensor]


def layer_terms(
    layer: LayerPredictions, targets: BatchTargets, divisors: dict[str, Tensor], config: PaperConfig,
    joints_of: JointsOf, focal_px: float,
) -> dict[str, Tensor]:  # fmt: skip
    """All terms of one decoder layer, or of the encoder's proposals, which predict as much as the first layer."""
    people, query = match(layer.logits, layer.boxes, layer.keypoints, targets, config.costs)
    targets = targets.take(people)
    terms = {"classification": classification(layer.logits, targets.picture, query, divisors)}
    found = matched(layer, targets.picture, query)
    terms |= box_terms(found, targets, divisors)
    if layer.keypoints is None:
        return terms
    is_whole = layer.left_hand_keypoints is not None
    parts = range(len(PARTS) if is_whole else 1)
    joints = joints_of(found, is_whole)
    return (
        terms
        | keypoint_terms(found, targets, divisors, config.part_oks_by_body_area)
        | body_terms(found, targets, divisors, parts)
        | joint_terms(joints, found.camera, focal_px, targets, divisors, parts)
    )


def total_loss(
    predictions: Predictions,
    targets: BatchTargets,
    divisors: dict[str, Tensor],
    clean_boxes: Tensor,
    config: PaperConfig,
    joints_of: JointsOf,
    focal_px: float,
) -> Losses:
    """The loss of one batch.

    Args:
        predictions: of all layers, with copies.
        divisors: what terms are divided by (`normalisers`).
        clean_boxes: (B, M, 4) the boxes that the copies were made of.
    """
    is_person = torch.bincount(targets.picture, minlength=targets.pictures) > 0
    proposals = LayerPredictions(predictions.proposals.logits, predictions.proposals.boxes)
    places = {"proposals": proposals} | {str(i): layer for i, layer in enumerate(predictions.layers)}
    total, told = torch.zeros_like(divisors["people"]), {}
    for number, (place, layer) in enumerate(places.items()):
        terms = layer_terms(layer, targets, divisors, config, joints_of, focal_px)
        if place != "proposals":
            terms |= copy_terms(predictions.denoising[number - 1], clean_boxes, is_person, divisors)
        for term, value in terms.items():
            total = total + weight_of(term, config, len(places) - 1 - number) * value
            told[f"{term}/{place}"] = value.detach()
    return Losses(total, told)


def in_float32(predictions: Predictions) -> Predictions:
    """The same, where autocast left half precision: losses are computed in full."""

    def wide(layer: LayerPredictions) -> LayerPredictions:
        values = {n: v.float() for n, v in vars(layer).items() if v is not None and v.dtype == torch.bfloat16}
        return replace(layer, **values)

    return replace(
        predictions,
        layers=tuple(map(wide, predictions.layers)),
        denoising=tuple(map(wide, predictions.denoising)),
        proposals=wide(predictions.proposals),
    )
