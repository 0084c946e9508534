"""Size and distance go together: who is built nearer or farther by some share is built smaller or taller by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.files import open_body
from aios_core.body.joints import BODY_JOINTS
from aios_core.body.skinning import rest_joints
from aios_core.body.transfer import body_for_shape
from aios_core.pipeline.refine.space import Figure

JOINT_SIGMA = 0.01
"""Metres that rest joints may miss the wanted size by, against one standard deviation of a shape coefficient."""


def resized(figure: Figure, factor: float, body: BodyModel, family: str) -> Figure:
    """The figure (camera frame) `factor` times as tall and as far away: the camera sees it as before.

    body: the one that everybody is built with; family: whose shape coefficients the track has. A known size stays, as
    does a shape of SMPL-X on another body, which cannot show it: such a person is moved alone.
    """
    track, fitted, fitted_betas = figure.track, figure.body, figure.betas
    pelvis = track.transl + rest_joints(fitted, fitted_betas)[0]
    if factor != 1 and not figure.is_size_known and family in (body.family, "open"):
        betas = betas_for_size(body if family == body.family else open_body(), track.betas, factor)
        track = replace(track, betas=betas)
        fitted, fitted_betas, _ = body_for_shape(body, betas, family)
    transl = factor * pelvis - rest_joints(fitted, fitted_betas)[0]
    track = replace(track, transl=transl.astype(np.float32))
    return replace(figure, track=track, body=fitted, betas=fitted_betas)


def betas_for_size(body: BodyModel, betas: np.ndarray, factor: float) -> np.ndarray:
    """Betas (10,) near the given ones of a person whose limbs are `factor` times as long."""
    joints = rest_joints(body, betas)[:BODY_JOINTS]
    wanted = (factor - 1) * (joints - joints[0]).reshape(-1)
    slopes = body.joint_shapedirs[:BODY_JOINTS] - body.joint_shapedirs[0]  # (22, 3, 10)
    slopes = slopes.reshape(len(wanted), -1).astype(np.float64)
    normal = slopes.T @ slopes + JOINT_SIGMA**2 * np.eye(len(betas))
    return (betas + np.linalg.solve(normal, slopes.T @ wanted)).astype(np.float32)
