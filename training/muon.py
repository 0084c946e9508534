"""Muon: gradient descent in which a step changes a matrix equally in all directions (Jordan et al. 2024).

PyTorch's own takes matrices alone and always computes in bfloat16, which is slow on many CPUs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOMENTUM = 0.9
NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
NEWTON_SCHULZ_STEPS = 5
RMS = 0.2
"""Of the changes, in learning rates: that of AdamW's, so that both can share a rate (Liu et al. 2025)."""


class MuonAdamW(torch.optim.AdamW):
    """AdamW for most parameters, Muon for the groups with `muon` set."""

    def __init__(self, groups: list[dict], bfloat16: bool = False, **options):
        """bfloat16: orthogonalise in half precision, which errs less than the iteration itself leaves over."""
        super().__init__(groups, **options)
        self.bfloat16 = bfloat16

    @torch.no_grad()
    def step(self, closure=None):
        """One step of every group; parameters without a gradient stay as they are."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._turn(parameter, group["lr"], group["weight_decay"])
        return loss

    def _turn(self, parameter: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        matrix = parameter.grad.lerp(momentum, MOMENTUM).flatten(1)
        change = orthogonalised(matrix.bfloat16() if self.bfloat16 else matrix).to(parameter.dtype)
        parameter.mul_(1 - rate * decay)
        parameter.add_(change.view_as(parameter), alpha=-rate * RMS * math.sqrt(max(change.shape)))


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix with all singular values brought near 1 (between 0.7 and 1.2)."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-9)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if is_tall else x).contiguous()
