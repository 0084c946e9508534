"""Any weights with any body: rotations drive the same 55 joints, shape coefficients belong to one family only."""

from __future__ import annotations

import numpy as np

from aios_core.body.body_model import BodyModel, scaled
from aios_core.body.files import open_body
from aios_core.body.skinning import rest_vertices


def height(body: BodyModel, betas: np.ndarray) -> float:
    """Metres from sole to crown of the T-pose with shape betas (10,)."""
    return float(np.ptp(rest_vertices(body, betas)[:, 1]))


def body_for_shape(body: BodyModel, betas: np.ndarray, family: str) -> tuple[BodyModel, np.ndarray, str | None]:
    """The body and betas to use for betas (10,) of a family, and a warning where the shape cannot be carried over.

    Of the same family: as they are. The open body's shape on another body: its neutral shape scaled to the same height.
    SMPL-X's shape on the open body: the neutral shape, since its height cannot be known without an SMPL-X file.
    """
    if family == body.family:
        return body, betas, None
    neutral = np.zeros_like(betas)
    if family == "open":
        factor = height(open_body(), betas) / height(body, neutral)
        message = (
            f"The shape belongs to the open body; the {body.family} body keeps its neutral shape at the same height."
        )
        return scaled(body, factor), neutral, message
    message = f"The shape and expression belong to {family}; the {body.family} body keeps its neutral shape and face."
    return body, neutral, message
