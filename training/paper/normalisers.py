"""What every loss term is divided by: counts of people, over all devices or over each one's own (SPEC section 13.4).

The gradient of a run on several devices is the mean of theirs. With counts that are means over the devices it is the
gradient of one device with all the pictures; with each device's own counts, as published, it is not.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from training.paper.config import PaperConfig
from training.paper.targets import BatchTargets

PARTS = ("body", "left_hand", "right_hand", "face")
JOINTS = (slice(0, 25), slice(25, 45), slice(45, 65), slice(65, 137))
"""Of the parts, among the 137."""
POSE = (slice(1, 22), slice(22, 37), slice(37, 52), slice(52, 53))
"""Of the parts, among the 53 rotations; the body's orientation goes before."""
EPS = 1e-6


def part_boxes(targets: BatchTargets, part: int) -> tuple[Tensor, Tensor]:
    """(n, 4) boxes of a part, by number in PARTS, and (n,) whether they are valid."""
    if part == 0:
        return targets.boxes, targets.boxes_valid
    return targets.part_boxes[:, part - 1], targets.part_boxes_valid[:, part - 1]


def part_points(targets: BatchTargets, part: int) -> tuple[Tensor, Tensor]:
    """(n, K, 2) keypoints of a part, by number in PARTS, and (n, K) whether they are valid."""
    if part == 0:
        return targets.keypoints, targets.keypoints_valid
    return targets.part_keypoints[:, part - 1], targets.part_keypoints_valid[:, part - 1]


def counts(targets: BatchTargets, config: PaperConfig) -> dict[str, Tensor]:
    """Scalars by the names of terms: how many people, weighted, each term is over."""

    def people(valid: Tensor) -> Tensor:
        return (valid > 0).any(-1).sum().to(valid.dtype)

    found = {
        "people": targets.boxes.new_tensor(float(len(targets))),
        "pictures": targets.boxes.new_tensor(float(targets.pictures)),
        "betas": targets.betas_valid.sum(),
        "expression": targets.expression_valid.sum(),
    }
    for part, name in enumerate(PARTS):
        _, present = part_boxes(targets, part)
        found[f"box.{name}"] = present.sum()
        counted = 1 if name == "face" and config.face_points_counted_as_left_hand else part
        _, valid = part_points(targets, counted)
        found[f"keypoints.{name}"] = people(valid * present[:, None])
        found[f"pose.{name}"] = people(targets.pose_valid[:, POSE[part]])
        trusted = targets.has_3d[:, None]
        found[f"joints_3d.{name}"] = people(targets.joints_3d_valid[:, JOINTS[part]] * trusted)
        found[f"joints_3d_aligned.{name}"] = people(targets.body_joints_3d_valid[:, JOINTS[part]] * trusted)
        found[f"joints_2d.{name}"] = people(targets.joints_2d_valid[:, JOINTS[part]])
    return found


def normalisers(targets: BatchTargets, config: PaperConfig) -> dict[str, Tensor]:
    """Scalars by the names of terms: what each term's sum over this device's people is divided by."""
    found = counts(targets, config)
    devices = dist.get_world_size() if dist.is_initialized() else 1
    summed = torch.stack(list(found.values()))
    if devices > 1:
        dist.all_reduce(summed)
    everywhere = dict(zip(found, summed.unbind(), strict=True))
    if config.global_normalisers:
        found, share = everywhere, 1.0 / devices
        found["people"] = everywhere["people"].clamp_min(1)
        batches = everywhere["pictures"] * share / config.published_batch
    else:
        found, share = found | {"people": (everywhere["people"] / devices).clamp_min(1)}, 1.0
        batches = torch.ones_like(summed[0])
    divisors = {
        name: torch.where(count > 0, count, 1) if name.startswith(("box", "keypoints", "people")) else count + EPS
        for name, count in found.items()
    }
    divisors = {name: divisor * share for name, divisor in divisors.items()}
    divisors["box.body"] = divisors["people"]
    divisors["copies"] = config.copies * batches
    if config.jaw_is_summed:
        divisors["pose.face"] = batches * (1 + EPS)
    return divisors
