"""Every loss of the open recipe: one short function each, over people matched to targets (paper section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from aios_core.body.skinning_torch import TorchBody
from aios_core.model.device import sent
from aios_core.model.predictions import LayerPredictions
from aios_core.model.selection import rows_at
from training.config import LossWeights
from training.matcher import COCO_SIGMAS, iou_and_giou, match, match_costs, oks
from training.targets import Targets

PARTS = ("left_hand", "right_hand", "face")


@dataclass(frozen=True)
class Losses:
    """Weighted terms, summed into `total`."""

    total: Tensor
    terms: dict[str, Tensor]
    """Detached."""


def score_logits(logits: Tensor) -> Tensor:
    """(B, Q) the logit of the class 'person': the last class."""
    return logits[..., -1]


def varifocal(logits: Tensor, quality: Tensor) -> Tensor:
    """Classification against the overlap reached (VarifocalNet): positives weigh their quality, negatives p^2."""
    p = logits.sigmoid().detach()
    weight = torch.where(quality > 0, quality.clamp_min(0.3), 0.75 * p * p)
    return F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * weight


def mean_over(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean; zero without any weight."""
    return (values * weight).sum() / weight.sum().clamp_min(1)


def box_loss(boxes: Tensor, targets: Tensor, weight: Tensor, weights: LossWeights) -> Tensor:
    """L1 and GIoU of cxcywh boxes (..., 4)."""
    l1 = (boxes - targets).abs().sum(-1)
    giou = iou_and_giou(boxes, targets)[1]
    return mean_over(weights.box * l1 + weights.giou * (1 - giou), weight)


def layer_loss(
    prediction: LayerPredictions,
    targets: Targets,
    index: Tensor,
    people: Tensor,
    body: TorchBody,
    weights: LossWeights,
    focal_px: float,
    size: Tensor,
) -> dict[str, Tensor]:
    """Losses of one decoder layer at the people (B, G) that queries `index` answer for, N of whom are no padding.

    Args:
        people: (N,) their places in the flattened (B * G): found once, since finding them waits for the device.
    """
    valid = targets.valid.float()
    boxes = rows_at(prediction.boxes, index)
    logits = score_logits(prediction.logits)
    overlap = iou_and_giou(boxes, targets.boxes)[0].detach().clamp_min(0.05) * valid
    quality = torch.zeros_like(logits).scatter_reduce(1, index, overlap, "amax")
    terms = {
        "classification": weights.classification * varifocal(logits, quality).sum() / valid.sum().clamp_min(1),
        "box": box_loss(boxes, targets.boxes, valid, weights),
    }
    if prediction.keypoints is not None:
        terms |= _keypoint_losses(prediction, targets, index, weights)
        terms |= _body_losses(prediction, targets, index, people, body, weights, focal_px, size)
    return terms


def _keypoint_losses(p: LayerPredictions, t: Targets, index: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    points = rows_at(p.keypoints, index)
    weight = t.keypoints_weight * t.valid[..., None]
    # Distances count relative to the person's size, so that small people weigh as much as large ones.
    side = t.boxes[..., 2:].prod(-1).clamp_min(1e-3).sqrt()[..., None]
    l1 = F.smooth_l1_loss(points / side[..., None], t.keypoints / side[..., None], reduction="none", beta=0.02).sum(-1)
    similarity = oks(points, t.keypoints, weight, t.boxes[..., 2:].prod(-1), sent(COCO_SIGMAS, points.device))
    terms = {
        "keypoints": weights.keypoints * mean_over(l1, weight) / 4,
        "oks": weights.oks * mean_over(1 - similarity, (weight.sum(-1) > 0).float()),
    }
    for k, part in enumerate(PARTS):
        present = t.part_valid[..., k] * t.valid
        boxes = rows_at(getattr(p, f"{part}_boxes"), index)
        target = t.part_boxes[..., k, :]
        l1 = (boxes - target).abs().sum(-1) / side[..., 0]
        giou = iou_and_giou(boxes, target)[1]
        terms[f"{part}_box"] = weights.part_box * mean_over(l1 + 0.5 * (1 - giou), present)
        points = getattr(p, f"{part}_keypoints")
        if points is not None:
            error = (rows_at(points, index) - t.part_keypoints[..., k, :, :]).abs().sum(-1).mean(-1)
            terms[f"{part}_keypoints"] = weights.part_keypoints * mean_over(error / side[..., 0], present)
    return terms


def _body_losses(
    p: LayerPredictions,
    t: Targets,
    index: Tensor,
    people: Tensor,
    body: TorchBody,
    weights: LossWeights,
    focal_px: float,
    size: Tensor,
) -> dict[str, Tensor]:
    """SMPL-X losses over the N people of the batch."""
    first = torch.arange(len(index), device=index.device)[:, None] * p.betas.shape[1]
    answering = (first + index).flatten()[people]

    def found(values: Tensor) -> Tensor:
        return values.flatten(0, 1).index_select(0, answering)

    rotmats, betas, camera = found(p.body_rotmats), found(p.betas), found(p.camera)
    if not len(people):
        return {"body_pose": p.body_rotmats.sum() * 0 + p.betas.sum() * 0 + p.camera.sum() * 0}
    t = only(t, people)
    pose_error = (rotmats - t.rotmats[:, :22]).abs().sum((-1, -2))
    terms = {
        "global_orient": weights.global_orient * pose_error[:, 0].mean(),
        "body_pose": weights.body_pose * pose_error[:, 1:].mean(),
        "betas": weights.betas * (betas - t.betas).abs().sum(-1).mean(),
    }
    eye = torch.eye(3, device=rotmats.device)
    jaw, expression = eye.expand(len(rotmats), 1, 3, 3), torch.zeros_like(betas)
    left = right = eye.expand(len(rotmats), 15, 3, 3)
    whole_body = p.left_hand_keypoints is not None
    if whole_body:
        left, right = found(p.left_hand_rotmats), found(p.right_hand_rotmats)
        jaw, expression = found(p.jaw_rotmats), found(p.expression)
        terms |= _part_losses(left, right, jaw, expression, t, weights)
    full = torch.cat([rotmats, jaw, eye.expand(len(rotmats), 2, 3, 3), left, right], 1)
    joints = body(betas, expression, full, with_vertices=False).joints
    terms["joints_3d"] = weights.joints_3d * _joints_loss(joints, t.joints, 55 if whole_body else 22)
    terms["joints_aligned"] = weights.joints_aligned * aligned_loss(joints[:, :22], t.joints[:, :22])
    height = (t.boxes[:, 2:] * size).amax(-1)[:, None, None]
    points, truth = project(joints[:, :22], camera, focal_px, size) / height, t.joints_px[:, :22] / height
    error_2d = F.smooth_l1_loss(points, truth, reduction="none", beta=0.02)
    terms["joints_2d"] = weights.joints_2d * error_2d.sum(-1).clamp_max(4).mean()
    terms["camera"] = weights.camera * _camera_loss(camera, t.camera, focal_px / height[:, 0])
    return terms


def _part_losses(
    left: Tensor, right: Tensor, jaw: Tensor, expression: Tensor, t: Targets, weights: LossWeights
) -> dict[str, Tensor]:
    """Hands, jaw and expression (N, ...) against the targets `only` of them, each where it is seen."""
    truth, seen = t.rotmats, t.part_valid
    hands = {}
    for k, hand in enumerate((left, right)):
        error = (hand - truth[:, 25 + 15 * k : 40 + 15 * k]).abs().sum((-1, -2)).mean(-1)
        hands[f"{PARTS[k]}_pose"] = weights.hand_pose * mean_over(error, seen[:, k])
    return hands | {
        "jaw_pose": weights.jaw_pose * mean_over((jaw[:, 0] - truth[:, 22]).abs().sum((-1, -2)), seen[:, 2]),
        "expression": weights.expression * mean_over((expression - t.expression).abs().sum(-1), seen[:, 2]),
    }


def _joints_loss(joints: Tensor, truth: Tensor, count: int) -> Tensor:
    """L1 of the first `count` joints (N, 55, 3) from the pelvis; fingers, jaw and eyes weigh a fifth."""
    weight = torch.ones(count, device=joints.device)
    weight[22:] = 0.2
    error = (joints[:, :count] - joints[:, :1] - truth[:, :count]).abs().sum(-1)
    return (error * weight).sum(-1).mean() / weight.sum()


def aligned_loss(joints: Tensor, truth: Tensor) -> Tensor:
    """L1 of joints (N, J, 3) under the similarity transform that brings each N closest to its truth (Procrustes), which
    counts as given: as PA-MPJPE compares them."""
    truth = truth - truth.mean(1, keepdim=True)
    joints = joints - joints.mean(1, keepdim=True)
    with torch.no_grad():
        u, s, vt = torch.linalg.svd(joints.mT @ truth)
        sign = torch.ones_like(s)
        sign[:, -1] = torch.linalg.det(u @ vt).sign()  # a turn, no reflection
        turn = (u * sign[:, None]) @ vt
        scale = (s * sign).sum(-1) / joints.square().sum((1, 2)).clamp_min(1e-9)
    return (scale[:, None, None] * (joints @ turn) - truth).abs().sum(-1).mean()


def _camera_loss(camera: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """Error of cameras (N, 3): log of the depth, and place in box heights; scale (N, 1) makes tx, ty box heights."""
    depth = (camera[:, 0].clamp_min(1e-4) / truth[:, 0].clamp_min(1e-4)).log().abs()
    place = ((camera - truth).abs()[:, 1:] * scale).sum(-1)
    return (depth + 0.5 * place).clamp_max(8).mean()


def project(joints: Tensor, camera: Tensor, focal_px: float, size: Tensor) -> Tensor:
    """Pixels (N, J, 2) of joints (N, J, 3) under cameras (N, 3) = (s, tx, ty) (INTEROP, camera)."""
    depth = 1 / camera[:, :1].clamp_min(1e-4)
    translation = torch.cat([camera[:, 1:] * depth, depth], -1)
    moved = joints + translation[:, None]
    return moved[..., :2] / moved[..., 2:].clamp_min(0.2) * focal_px + size / 2


def decoder_losses(
    layers: tuple[LayerPredictions, ...],
    targets: Targets,
    body: TorchBody,
    weights: LossWeights,
    focal_px: float,
    size: Tensor,
    copies_of: int = 0,
) -> Losses:
    """Losses of all decoder layers; with copies_of > 0 the queries are that many denoising copies, no matching."""
    if copies_of:
        targets = repeated(targets, copies_of, 1)
        own = torch.arange(targets.valid.shape[1], device=targets.valid.device)
        indices = [own.expand(targets.valid.shape)] * len(layers)
    else:
        indices = match([_costs(layer, targets) for layer in layers], targets.valid)
    valid = targets.valid
    people = valid.flatten().nonzero()[:, 0]
    total, sums = torch.zeros((), device=valid.device), {}
    for numbers in _by_stage(layers):
        times = len(numbers)
        several, again = together([layers[n] for n in numbers]), repeated(targets, times, 0)
        index = torch.cat([indices[n] for n in numbers])
        of_all = torch.cat([people + n * valid.numel() for n in range(times)])
        for name, value in layer_loss(several, again, index, of_all, body, weights, focal_px, size).items():
            total = total + times * value  # all are means, or sums for each person
            sums[name] = value.detach()
    return Losses(total, sums)


def _by_stage(layers: Sequence[LayerPredictions]) -> list[list[int]]:
    """Numbers of the layers that predict the same things: together they take as many calls as one alone."""
    stages: dict[tuple[str, ...], list[int]] = {}
    for number, layer in enumerate(layers):
        predicted = tuple(name for name, value in vars(layer).items() if value is not None)
        stages.setdefault(predicted, []).append(number)
    return list(stages.values())


def together(layers: Sequence[LayerPredictions]) -> LayerPredictions:
    """The predictions of L layers (B, ...) as those of one layer for L times as many pictures (L * B, ...)."""
    fields = {name: [getattr(layer, name) for layer in layers] for name in vars(layers[0])}
    return LayerPredictions(
        **{name: None if values[0] is None else torch.cat(values) for name, values in fields.items()}
    )


def _costs(p: LayerPredictions, t: Targets) -> Tensor:
    return match_costs(score_logits(p.logits), p.boxes, p.keypoints, t.boxes, t.keypoints, t.keypoints_weight)


def repeated(targets: Targets, times: int, axis: int) -> Targets:
    """The same pictures (axis 0) or the same people in each of them (axis 1) `times` times over."""
    return Targets(**{name: torch.cat([value] * times, axis) for name, value in vars(targets).items()})


def only(targets: Targets, people: Tensor) -> Targets:
    """The people (N,) at these places of the flattened (B * G), as (N, ...)."""
    return Targets(**{name: value.flatten(0, 1)[people] for name, value in vars(targets).items()})
