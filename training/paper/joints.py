"""The joints of predicted people, for the losses: SMPL-X evaluated at the few vertices that joints are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import JOINTS_137_FROM_144
from aios_core.body.skinning_torch import TorchBody
from aios_core.geometry.rotations_torch import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.model.predictions import LayerPredictions
from training.data.humandata.landmarks import landmark_body


class PredictedJoints(nn.Module):
    """The 137 joints of people in pictures, metres, without translation (SPEC section 10)."""

    def __init__(self, body: BodyModel, hands_relative_to_mean: bool, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.body = TorchBody(landmark_body(body), dtype)
        mean = torch.stack([torch.as_tensor(m) for m in (body.hands_mean_left, body.hands_mean_right)]).to(dtype)
        self.register_buffer("mean_hands", mean * float(hands_relative_to_mean), persistent=False)
        self.register_buffer("order", torch.as_tensor(JOINTS_137_FROM_144), persistent=False)

    def forward(self, found: LayerPredictions, is_whole: bool) -> Tensor:
        """(k, 137, 3) of k people; without `is_whole` their hands and faces are at rest, but for the jaw."""
        count = len(found.betas)
        eyes = torch.eye(3, dtype=found.betas.dtype, device=found.betas.device).expand(count, 2, 3, 3)
        rotmats = torch.cat([found.body_rotmats, found.jaw_rotmats, eyes, *self._hands(found, is_whole)], 1)
        expression = found.expression if is_whole else torch.zeros_like(found.expression)
        posed = self.body(found.betas, expression, rotmats)
        return self.body.joints_144(posed, rotmats)[:, self.order]

    def _hands(self, found: LayerPredictions, is_whole: bool) -> list[Tensor]:
        """Two (k, 15, 3, 3): the predicted rotations, as axis-angle vectors, are added to the mean hand's."""
        if not is_whole:
            return [axis_angle_to_rotmat(mean).expand(len(found.betas), -1, -1, -1) for mean in self.mean_hands]
        hands = found.left_hand_rotmats, found.right_hand_rotmats
        pairs = zip(hands, self.mean_hands, strict=True)
        return [axis_angle_to_rotmat(rotmat_to_axis_angle(hand) + mean) for hand, mean in pairs]
