"""Where people stand: translations for the shot's camera, from the network's camera and its 2-d keypoints."""

from __future__ import annotations

import numpy as np

from aios_core.body.joints import BODY_JOINTS, COCO_LIMBS, JOINTS_OF_LIMBS
from aios_core.geometry.camera import refit_translation
from aios_core.mocap import Camera


def place(
    joints: np.ndarray,
    joints_px: np.ndarray,
    keypoints_px: np.ndarray,
    camera: Camera,
    keypoint_weight: float | np.ndarray,
) -> np.ndarray:
    """Translations (N, 3), metres, under the shot's camera, such that the picture still matches.

    joints: (N, 22, 3) of the posed body without translation; joints_px: (N, 22, 2) where the network's own camera puts
    them; keypoints_px: (N, 17, 2) COCO keypoints; keypoint_weight: how much these count against those, 0..1, for all
    or (N,).
    """
    points = np.concatenate([joints_px, keypoints_px[:, COCO_LIMBS]], 1)
    share = np.broadcast_to(keypoint_weight, len(joints))[:, None]
    weights = np.concatenate([(1 - share).repeat(BODY_JOINTS, 1), share.repeat(len(COCO_LIMBS), 1)], 1)
    both = np.concatenate([joints, joints[:, JOINTS_OF_LIMBS]], 1)
    return refit_translation(both, points, camera.focal_px, np.asarray(camera.center_px), weights)
