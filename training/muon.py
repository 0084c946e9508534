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
                trained = [parameter for parameter in group["params"] if parameter.grad is not None]
                for alike in _together(trained):
                    self._turn(alike, group["lr"], group["weight_decay"])
        return loss

    def _turn(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        """One step of parameters whose matrices have one shape."""
        gradients = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        matrices = torch.stack([g.lerp(m, MOMENTUM).flatten(1) for g, m in zip(gradients, momenta, strict=True)])
        changes = orthogonalised(matrices.bfloat16() if self.bfloat16 else matrices).to(parameters[0].dtype)
        size = rate * RMS * math.sqrt(max(changes.shape[1:]))
        torch._foreach_mul_(parameters, 1 - rate * decay)
        changes = [change.view_as(parameter) for change, parameter in zip(changes, parameters, strict=True)]
        torch._foreach_add_(parameters, changes, alpha=-size)


def _together(parameters: list[Tensor]) -> list[list[Tensor]]:
    """The parameters in groups: on a GPU those with matrices of one shape, whose small products then are one call; on
    a CPU, which is busy with one, each alone."""
    groups: dict[object, list[Tensor]] = {}
    for i, parameter in enumerate(parameters):
        shape = parameter.shape[0], parameter[0].numel()
        groups.setdefault(i if parameter.device.type == "cpu" else shape, []).append(parameter)
    return list(groups.values())


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices (..., R, C) with all singular values brought near 1 (between 0.7 and 1.2)."""
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = (x / (x.flatten(-2).norm(dim=-1)[..., None, None] + 1e-9)).view(-1, *x.shape[-2:])
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).reshape(matrices.shape)
