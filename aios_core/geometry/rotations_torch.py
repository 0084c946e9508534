"""Rotation formulas in torch, differentiable, for any leading batch shape (numpy's twin is `rotations`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from six numbers (..., 6) read as a [3, 2] matrix.

    Its columns (entries 0, 2, 4 and 1, 3, 5) are orthonormalised by Gram-Schmidt into the matrix's first two
    columns; the third is their cross product (Zhou et al. 2019, in the layout of the published model).
    """
    first, second = rot6d.unflatten(-1, (3, 2)).unbind(-1)
    x = F.normalize(first, dim=-1, eps=1e-12)
    y = F.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1, eps=1e-12)
    return torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), dim=-1)


def axis_angle_to_rotmat(axis_angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3) in radians, by Rodrigues' formula.

    The gradient is finite everywhere, at zero too.
    """
    square = (axis_angle * axis_angle).sum(-1)[..., None, None]
    is_small = square < 1e-8
    safe = torch.where(is_small, torch.ones_like(square), square)
    angle = safe.sqrt()
    first = torch.where(is_small, 1 - square / 6, torch.sin(angle) / angle)
    second = torch.where(is_small, 0.5 - square / 24, (1 - torch.cos(angle)) / safe)
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + first * cross + second * (cross @ cross)


def rotmat_to_axis_angle(rotmat: Tensor) -> Tensor:
    """Axis-angle vectors (..., 3), angle in 0..pi, of rotation matrices (..., 3, 3), through the quaternion.

    The quaternion is read from its largest component, so that no angle loses precision.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = rotmat.flatten(-2).unbind(-1)
    rows = torch.stack(
        (
            torch.stack((1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01), -1),
            torch.stack((m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20), -1),
            torch.stack((m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m12 + m21), -1),
            torch.stack((m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22), -1),
        ),
        -2,
    )  # (..., 4, 4): row i is the quaternion times four times its component i
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quat = rows.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    quat = F.normalize(quat, dim=-1)
    quat = torch.where(quat[..., :1] < 0, -quat, quat)
    w, axis = quat[..., :1], quat[..., 1:]
    square = (axis * axis).sum(-1, keepdim=True)
    is_small = square < 1e-12
    sine = torch.where(is_small, torch.ones_like(square), square).sqrt()
    return axis * torch.where(is_small, 2 * torch.ones_like(sine), 2 * torch.atan2(sine, w) / sine)
