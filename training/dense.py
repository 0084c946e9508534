"""Training-only supervision of the encoder: many tokens for each person, and heat-maps of joints.

Neither is part of the network that is shipped; both make a short training converge (see LOG.md).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aios_core.model.predictions import EncoderPredictions
from aios_core.model.selection import rows_at
from training.config import LossWeights
from training.losses import box_loss, mean_over, score_logits, varifocal
from training.matcher import iou_and_giou
from training.targets import Targets

CHANNELS = 21
"""17 body joints, the centres of both hands and the face, and the side: whether a limb is somebody's left one."""


class HeatmapHead(nn.Module):
    """Heat-maps (B, CHANNELS, H, W), logits, from the finest level of the encoder's memory."""

    def __init__(self, hidden_dim: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden_dim, CHANNELS, 1)
        )
        nn.init.constant_(self.layers[-1].bias, -3.0)

    def forward(self, encoder: EncoderPredictions) -> Tensor:
        """Heat-maps of the first level's tokens."""
        height, width = encoder.level_shapes[0]
        tokens = encoder.memory[:, : height * width]
        return self.layers(tokens.transpose(1, 2).unflatten(2, (height, width)))


def heatmap_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Quality-focal loss of all channels but the last against Gaussians whose width follows the person's size."""
    logits = logits[:, :-1]
    height, width = logits.shape[-2:]
    y = ((torch.arange(height, device=logits.device) + 0.5) / height)[:, None]
    x = ((torch.arange(width, device=logits.device) + 0.5) / width)[None]
    points = torch.cat([targets.keypoints, targets.part_boxes[..., :2]], 2)  # (B, G, 20, 2)
    seen = torch.cat([targets.keypoints_weight, targets.part_valid], 2) * targets.valid[..., None]
    sigma = (targets.boxes[..., 3] * 0.05).clamp(0.025, 0.08)[..., None, None, None]
    distance = (x - points[..., 0, None, None]) ** 2 + ((y - points[..., 1, None, None]) * height / width) ** 2
    maps = (torch.exp(-distance / (2 * sigma**2)) * seen[..., None, None]).amax(1)  # (B, 20, H, W)
    error = (logits.sigmoid().detach() - maps).abs() + 0.02
    return 60 * (F.binary_cross_entropy_with_logits(logits, maps, reduction="none") * error).mean()


def side_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Cross entropy of the last channel at every limb in sight: is it a left one?

    Joints' maps teach this late: one that cannot tell is hardly worse where left and right lie side by side.
    """
    places = targets.keypoints[:, :, 1:] * 2 - 1  # (B, G, 16, 2): left and right take turns behind the nose
    sides = F.grid_sample(logits[:, -1:], places.to(logits.dtype), align_corners=False)[:, 0]  # (B, G, 16)
    is_left = (torch.arange(16, device=logits.device) % 2 == 0).to(logits.dtype).expand_as(sides)
    seen = (targets.keypoints_weight[:, :, 1:] >= 1) & targets.valid[..., None]
    return mean_over(F.binary_cross_entropy_with_logits(sides, is_left, reduction="none"), seen.to(logits.dtype))


def encoder_loss(encoder: EncoderPredictions, targets: Targets, weights: LossWeights, tokens_per_person: int) -> Tensor:
    """One-to-many: the tokens that fit a person best all learn its box and a score of their overlap."""
    logits = score_logits(encoder.logits)  # (B, N)
    valid = targets.valid.float()
    with torch.no_grad():
        overlap = iou_and_giou(encoder.boxes[:, :, None], targets.boxes[:, None])[0]  # (B, N, G)
        offset = (encoder.boxes[:, :, None, :2] - targets.boxes[:, None, :, :2]).abs().sum(-1)
        cost = -3 * overlap - logits.sigmoid()[..., None] + 3 * offset + 100.0 * ~encoder.valid[..., None]
        best = cost.topk(tokens_per_person, dim=1, largest=False).indices  # (B, K, G)
        quality = torch.zeros_like(logits)
        for g in range(valid.shape[1]):
            index = best[:, :, g]
            reached = overlap[:, :, g].gather(1, index).clamp_min(0.1) * valid[:, g : g + 1]
            quality = quality.scatter_reduce(1, index, reached, "amax")
    people = valid.sum().clamp_min(1)
    score = varifocal(logits, quality) * encoder.valid
    index = best.transpose(1, 2).flatten(1)  # (B, G*K)
    boxes = rows_at(encoder.boxes, index)
    wanted = targets.boxes.repeat_interleave(tokens_per_person, 1)
    weight = valid.repeat_interleave(tokens_per_person, 1)
    return score.sum() / people + box_loss(boxes, wanted, weight, weights)
