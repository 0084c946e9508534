"""The camera of the shot, and the network's own cameras in its picture."""

from __future__ import annotations

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY_JOINTS
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.config import CaptureConfig, ModelConfig
from aios_core.geometry.camera import (
    default_focal_px,
    focal_px_from_35mm,
    given_focal_px,
    network_translation,
    project,
)  # fmt: skip
from aios_core.media import Footage
from aios_core.media.image import focal_length_35mm
from aios_core.mocap import Camera
from aios_core.model.framing import framing
from aios_core.pipeline.people import FramePeople


def shot_camera(footage: Footage, config: CaptureConfig) -> Camera:
    """The camera of the shot: focal length from the user, else EXIF, else the picture's diagonal; centred."""
    width, height = footage.width, footage.height
    stated = focal_length_35mm(footage.files[0]) if footage.files else None
    given = given_focal_px(width, config.focal_px, config.fov_deg)
    if given is not None:
        focal, source = given, "user"
    elif stated:
        focal, source = focal_px_from_35mm(width, height, stated), "exif"
    else:
        focal, source = default_focal_px(width, height), "diagonal"
    return Camera(float(focal), (width / 2, height / 2), source)


def network_joints_px(
    people: FramePeople, body: BodyModel, betas: np.ndarray, size: tuple[int, int], model: ModelConfig
) -> np.ndarray:
    """Pixels (P, 22, 2) of the footage where the network's own cameras see the people's body joints.

    betas: (P, 10) of the body's family; size: (width, height) of the footage.
    """
    joints = pose_joints(body, betas, full_pose(people.global_orient, people.body_pose))[:, :BODY_JOINTS]
    return network_projection(joints, people.camera, size, model)


def network_projection(joints: np.ndarray, camera: np.ndarray, size: tuple[int, int], model: ModelConfig) -> np.ndarray:
    """Pixels (P, J, 2) of the footage where the network's own cameras (P, 3) put joints (P, J, 3)."""
    placed = framing(*size, model)
    center = np.array(placed.canvas) / 2
    return placed.to_picture(project(joints + network_translation(camera)[:, None], model.camera_focal_px, center))
