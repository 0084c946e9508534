"""What every loss term is divided by: counts of people, over all devices or over each one's own (SPEC section 13.4).

The gradient of a step is the mean over its batches, of all devices. With counts that are means over them too it is the
gradient of one batch with all the pictures; with each batch's own counts, as published, it is not.
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


def normalisers(batches: list[BatchTargets], config: PaperConfig) -> list[dict[str, Tensor]]:
    """For each of a step's batches, scalars by the names of terms: what a term's sum over its people is divided by."""
    own = [counts(batch, config) for batch in batches]
    summed = torch.stack([torch.stack(list(found.values())) for found in own]).sum(0)
    number = len(batches)
    if dist.is_initialized():
        dist.all_reduce(summed)
        number *= dist.get_world_size()
    everywhere = dict(zip(own[0], summed.unbind(), strict=True))
    if config.global_normalisers:
        everywhere["people"] = everywhere["people"].clamp_min(1)
        sums = everywhere["pictures"] / number / config.published_batch
        return [_divisors(everywhere, 1 / number, sums, config)] * len(batches)
    people = (everywhere["people"] / number).clamp_min(1)
    return [_divisors(found | {"people": people}, 1.0, torch.ones_like(people), config) for found in own]


def _divisors(found: dict[str, Tensor], share: float, sums: Tensor, config: PaperConfig) -> dict[str, Tensor]:
    """Divisors out of counts, of which a batch has this share; `sums` divides terms that are sums, not means."""
    divisors = {
        name: torch.where(count > 0, count, 1) if name.startswith(("box", "keypoints", "people")) else count + EPS
        for name, count in found.items()
    }
    divisors = {name: divisor * share for name, divisor in divisors.items()}
    divisors["box.body"] = divisors["people"]
    divisors["copies"] = config.copies * sums
    if config.jaw_is_summed:
        divisors["pose.face"] = sums * (1 + EPS)
    return divisors
