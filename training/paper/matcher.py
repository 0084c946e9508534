"""Which query answers for which person: one Hungarian assignment a picture and layer (paper section 3.5; SPEC 13.3)."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from training.matcher import COCO_SIGMAS, iou_and_giou
from training.paper.config import MatchCosts
from training.paper.targets import BatchTargets

PERSON = 1
"""The class of people; class 0 is nobody's."""
LARGE = 1e6
"""Cost in place of what is not a number."""


def similarity(points: Tensor, targets: Tensor, valid: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """Object keypoint similarity (...), at least 1e-6, of points (..., K, 2); valid (..., K), area (...)."""
    distance = (points - targets).square().sum(-1)
    fall = torch.exp(-distance / (2 * area.clamp_min(1e-12)[..., None] * (2 * sigmas) ** 2))
    return ((fall * valid).sum(-1) / (valid.sum(-1) + 1e-6)).clamp_min(1e-6)


def class_cost(logits: Tensor) -> Tensor:
    """(...) what the focal loss would change if a query with these logits (..., C) were a person."""
    p = logits[..., PERSON].sigmoid()
    return 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()


def costs_of(logits: Tensor, boxes: Tensor, keypoints: Tensor | None, targets: BatchTargets, costs: MatchCosts):
    """(n, Q) what it costs to give each person each query of its picture.

    logits (B, Q, C), boxes (B, Q, 4), keypoints (B, Q, 17, 2) or None: with keypoints boxes do not count.
    """
    total = costs.classification * class_cost(logits)[targets.picture]
    if keypoints is None:
        own, truth = boxes[targets.picture], targets.boxes[:, None]
        return total + costs.box * (own - truth).abs().sum(-1) - costs.giou * iou_and_giou(own, truth)[1]
    own, truth, valid = keypoints[targets.picture], targets.keypoints[:, None], targets.keypoints_valid[:, None]
    area = targets.boxes[:, None, 2:].prod(-1)
    alike = similarity(own, truth, valid, area, COCO_SIGMAS.to(own))
    distance = ((own - truth).abs().sum(-1) * valid).sum(-1)
    return total + costs.keypoints * distance + costs.oks * (1 - alike)


@torch.no_grad()
def match(
    logits: Tensor, boxes: Tensor, keypoints: Tensor | None, targets: BatchTargets, costs: MatchCosts
) -> tuple[Tensor, Tensor]:
    """Numbers of people (k,) and of the query of each in its picture (k,); everybody, if there are enough queries."""
    cost = costs_of(logits, boxes, keypoints, targets, costs)
    cost = torch.nan_to_num(cost, nan=LARGE, posinf=LARGE, neginf=-LARGE).cpu()
    picture = targets.picture.cpu()
    people, queries = [], []
    for number in range(targets.pictures):
        members = (picture == number).nonzero()[:, 0]
        rows, columns = linear_sum_assignment(cost[members].numpy())
        people.append(members[torch.from_numpy(rows)])
        queries.append(torch.from_numpy(columns))
    return torch.cat(people).to(logits.device), torch.cat(queries).to(logits.device)
