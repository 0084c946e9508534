"""Which query answers for which person: Hungarian matching, one per picture and layer (paper section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from aios_core.geometry.boxes_torch import cxcywh_to_xyxy, intersection
from aios_core.model.device import sent

COCO_SIGMAS = torch.tensor(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
) / 10  # fmt: skip


def iou_and_giou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap and generalised overlap (...) of cxcywh boxes (..., 4), with broadcasting."""
    a, b = cxcywh_to_xyxy(first), cxcywh_to_xyxy(second)
    inter = intersection(a, b)
    union = first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - inter
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    iou = inter / (union + 1e-6)
    return iou, iou - (hull - union) / (hull + 1e-6)


def oks(points: Tensor, targets: Tensor, weight: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """Object keypoint similarity (...) of points (..., K, 2); weight (..., K); area (...) in their units squared."""
    distance = (points - targets).square().sum(-1)
    similarity = torch.exp(-distance / (2 * area[..., None] * (2 * sigmas) ** 2 + 1e-9))
    return (similarity * weight).sum(-1) / (weight.sum(-1) + 1e-6)


@torch.no_grad()
def match_costs(
    logits: Tensor,
    boxes: Tensor,
    keypoints: Tensor | None,
    target_boxes: Tensor,
    target_keypoints: Tensor,
    keypoints_weight: Tensor,
) -> Tensor:
    """(B, Q, G) what it costs that a query answers for a person.

    logits (B, Q), boxes (B, Q, 4), keypoints (B, Q, 17, 2) or None in the box stage. Costs: focal class cost 2,
    box L1 5, GIoU 2; with keypoints also their L1 10 and OKS 4 (INTEROP, training facts).
    """
    p = logits.sigmoid()
    positive = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
    negative = 0.75 * p**2 * -(1 - p + 1e-8).log()
    cost = 2 * (positive - negative)[:, :, None]
    cost = cost + 5 * (boxes[:, :, None] - target_boxes[:, None]).abs().sum(-1)
    cost = cost - 2 * iou_and_giou(boxes[:, :, None], target_boxes[:, None])[1]
    if keypoints is not None:
        weight = keypoints_weight[:, None]
        distance = (keypoints[:, :, None] - target_keypoints[:, None]).abs().sum(-1)
        cost = cost + 10 * (distance * weight).sum(-1) / (weight.sum(-1) + 1e-6)
        area = target_boxes[..., 2:].prod(-1)[:, None]
        similarity = oks(keypoints[:, :, None], target_keypoints[:, None], weight, area, sent(COCO_SIGMAS, area.device))
        cost = cost + 4 * (1 - similarity)
    return torch.nan_to_num(cost, nan=1e4, posinf=1e4, neginf=-1e4)


def match(costs: Sequence[Tensor], valid: Tensor) -> list[Tensor]:
    """For each of the costs (B, Q, G), (B, G) the query of every person; 0 where there is no person.

    Args:
        valid: (B, G) bool: where there is one.
    """
    counts = [cost.shape[1] for cost in costs]
    both = torch.cat([*costs, valid[:, None].to(costs[0].dtype)], dim=1).cpu().numpy()  # the device is waited for once
    *of_layers, present = np.split(both, np.cumsum(counts), axis=1)
    matched = np.zeros((len(costs), *valid.shape), np.int64)
    for b, people in enumerate(present[:, 0].astype(bool)):
        people = people.nonzero()[0]
        for layer, cost in enumerate(of_layers):
            queries, columns = linear_sum_assignment(cost[b][:, people])
            matched[layer, b, people[columns]] = queries
    return list(torch.from_numpy(matched).to(valid.device).unbind())
