"""Every loss of the published recipe (supplement B; SPEC section 13.4), of people matched to targets.

A term is a sum over people divided by a count of people. The counts follow from the targets alone (`normalisers`), so
that all of them are known before the first layer is looked at.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter

import torch
import torch.nn.functional as F
from torch import Tensor

from aios_core.geometry.rotations_torch import axis_angle_to_rotmat
from aios_core.model.predictions import LayerPredictions, Proposals
from training.matcher import COCO_SIGMAS, iou_and_giou
from training.paper.config import PaperConfig
from training.paper.matcher import PERSON, similarity
from training.paper.normalisers import JOINTS, PARTS, POSE, part_boxes, part_points
from training.paper.targets import BatchTargets

PART_SIGMA = 0.025
"""Of hand and face points, where COCO has one for each body joint."""
ORIGINS = (0, 12, 13, 7)
"""Of each part among the 137 joints, for aligned joints: pelvis, wrists, neck."""
DIVIDED = (
    *(f"joints_3d.{part}" for part in PARTS[1:]), "joints_2d.left_hand", "joints_2d.right_hand",
)  # fmt: skip
"""Terms that count less in the last layer but one."""


def weight_of(term: str, config: PaperConfig, from_last: int) -> float:
    """Weight of a term in the layer that is `from_last` layers before the last."""
    weight = attrgetter(term)(config.weights)
    return weight / config.layer4_divisor if from_last == 1 and term in DIVIDED else weight


def focal(logits: Tensor, truth: Tensor) -> Tensor:
    """Sum of the focal loss (alpha 0.25, gamma 2) over logits of any shape against 0 or 1."""
    p = logits.sigmoid()
    missed = p + truth - 2 * p * truth  # 1 - probability of the truth
    alpha = 0.75 - 0.5 * truth
    return (alpha * missed.square() * F.binary_cross_entropy_with_logits(logits, truth, reduction="none")).sum()


def matched(prediction: LayerPredictions, picture: Tensor, query: Tensor) -> LayerPredictions:
    """The predictions (k, ...) of the queries (k,) of pictures (k,)."""
    values = {field.name: getattr(prediction, field.name) for field in fields(prediction)}
    return replace(prediction, **{name: None if v is None else v[picture, query] for name, v in values.items()})


def classification(logits: Tensor, picture: Tensor, query: Tensor, divisors: dict[str, Tensor]) -> Tensor:
    """Focal loss of all queries (B, Q, C); those matched are people."""
    truth = torch.zeros_like(logits)
    truth[picture, query, PERSON] = 1
    return focal(logits, truth) / divisors["people"]


def box_terms(found: LayerPredictions | Proposals, targets: BatchTargets, divisors: dict[str, Tensor]):
    """L1 and GIoU of the boxes of every part that was predicted."""
    terms = {}
    for part, name in enumerate(PARTS):
        boxes = found.boxes if part == 0 else getattr(found, f"{name}_boxes", None)
        if boxes is None:
            continue
        truth, valid = part_boxes(targets, part)
        terms[f"box.{name}"] = ((boxes - truth).abs().sum(-1) * valid).sum() / divisors[f"box.{name}"]
        terms[f"giou.{name}"] = ((1 - iou_and_giou(boxes, truth)[1]) * valid).sum() / divisors[f"box.{name}"]
    return terms


def keypoint_terms(
    found: LayerPredictions, targets: BatchTargets, divisors: dict[str, Tensor], by_body_area: bool
) -> dict[str, Tensor]:
    """L1 and similarity of the keypoints of every part that was predicted."""
    terms = {}
    for part, name in enumerate(PARTS):
        points = found.keypoints if part == 0 else getattr(found, f"{name}_keypoints")
        if points is None:
            continue
        truth, valid = part_points(targets, part)
        boxes, present = part_boxes(targets, part)
        area = (targets.boxes if by_body_area else boxes)[:, 2:].prod(-1)
        sigmas = COCO_SIGMAS.to(points) if part == 0 else points.new_full((points.shape[-2],), PART_SIGMA)
        distance = ((points - truth).abs().sum(-1) * valid).sum(-1)
        known = valid.sum(-1)
        unlike = (1 - similarity(points, truth, valid, area, sigmas)) * known / (known + 1e-6)
        divisor = divisors[f"keypoints.{name}"]
        terms[f"keypoints.{name}"] = (distance * present).sum() / divisor
        terms[f"oks.{name}"] = (unlike * present).sum() / divisor
    return terms


def body_terms(
    found: LayerPredictions, targets: BatchTargets, divisors: dict[str, Tensor], parts: range
) -> dict[str, Tensor]:
    """Rotations, shape and expression; `parts` are numbers in PARTS."""
    rotmats = (found.body_rotmats[:, 1:], found.left_hand_rotmats, found.right_hand_rotmats, found.jaw_rotmats)
    truth = axis_angle_to_rotmat(targets.pose)

    def error(predicted: Tensor, joints: slice) -> Tensor:
        return ((predicted - truth[:, joints]).abs().sum((-1, -2)) * targets.pose_valid[:, joints]).sum()

    terms = {"global_orient": error(found.body_rotmats[:, :1], slice(0, 1)) / divisors["pose.body"]}
    for part in parts:
        name = f"pose.{PARTS[part]}"
        terms[name] = error(rotmats[part], POSE[part]) / divisors[name]
    for name in ("betas", "expression") if len(parts) > 1 else ("betas",):
        distance = (getattr(found, name) - getattr(targets, name)).abs().sum(-1)
        terms[name] = (distance * getattr(targets, f"{name}_valid")).sum() / divisors[name]
    return terms


def joint_terms(
    joints: Tensor, camera: Tensor, focal_px: float, targets: BatchTargets, divisors: dict[str, Tensor], parts: range
) -> dict[str, Tensor]:
    """The 137 joints (k, 137, 3) in space, from the pelvis and from each part's own joint, and in the picture."""
    pelvis = joints - joints[:, :1]
    annotated = targets.joints_3d - targets.joints_3d[:, :1]
    projected = project(joints, camera, focal_px, targets.sizes_px)
    terms = {}
    for part in parts:
        name, own, origin = PARTS[part], JOINTS[part], slice(ORIGINS[part], ORIGINS[part] + 1)
        aligned = joints[:, own] - joints[:, origin]
        body = targets.body_joints_3d[:, own] - targets.body_joints_3d[:, origin]
        trusted = targets.has_3d[:, None]
        errors = {
            "joints_3d": (pelvis[:, own] - annotated[:, own], targets.joints_3d_valid * trusted),
            "joints_3d_aligned": (aligned - body, targets.body_joints_3d_valid * trusted),
            "joints_2d": (projected[:, own] - targets.joints_2d[:, own], targets.joints_2d_valid),
        }
        for term, (error, valid) in errors.items():
            total = (error.abs().sum(-1) * valid[:, own]).sum()
            terms[f"{term}.{name}"] = total / divisors[f"{term}.{name}"]
    return terms


def project(joints: Tensor, camera: Tensor, focal_px: float, sizes_px: Tensor) -> Tensor:
    """(k, J, 2) fractions of the picture of joints (k, J, 3) under cameras (k, 3) = (s, tx, ty) (SPEC section 10.4)."""
    scale = camera[:, :1] + 1e-9
    moved = joints + torch.cat([camera[:, 1:], torch.ones_like(scale)], -1)[:, None] / scale[:, None]
    return focal_px * moved[..., :2] / moved[..., 2:] / sizes_px[:, None] + 0.5


def copy_terms(
    prediction: LayerPredictions, boxes: Tensor, is_person: Tensor, divisors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Denoising: what the copies (B, M) say of their own clean boxes (B, M, 4); is_person (B,): the picture has any."""
    truth = torch.zeros_like(prediction.logits)
    truth[..., PERSON] = is_person[:, None].to(truth.dtype)
    giou = iou_and_giou(prediction.boxes, boxes)[1]
    return {
        "denoising_classification": focal(prediction.logits, truth) / divisors["copies"],
        "denoising_box": (prediction.boxes - boxes).abs().sum() / divisors["copies"],
        "denoising_giou": (1 - giou).sum() / divisors["copies"],
    }
