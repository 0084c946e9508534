"""The fit to the picture of a track as it is refined: what was measured of it becomes the evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aios_core.body.joints import BODY
from aios_core.body.skinning import full_pose
from aios_core.mocap import Camera
from aios_core.pipeline.refine.fit import Motion, SeenPoints, fit_to_picture
from aios_core.pipeline.refine.fit_config import FitConfig
from aios_core.pipeline.refine.space import Figure


def fit_figure(
    figure: Figure,
    camera: Camera,
    size: tuple[int, int],
    camera_to_world: np.ndarray,
    times: np.ndarray,
    config: FitConfig | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Figure:
    """The figure whose joints lie on its measured 2-d joints as well as its motion allows.

    size: (width, height) pixels; camera_to_world: (1 or T, 4, 4); times: (T,) seconds; on_progress gets the number of
    the track's frames that are done. The track's contacts are used.
    The shape changes only where it is the body's own and not known. A track without measurements comes back as it
    was.
    """
    track = figure.track
    if track.measured is None:
        return figure
    config = config or FitConfig()
    own_shape = not figure.is_size_known and np.array_equal(figure.betas, track.betas)
    if not own_shape:
        config = replace(config, shape_sigma=0.0)
    hands = track.left_hand_pose, track.right_hand_pose, track.jaw_pose
    pose = full_pose(track.global_orient, track.body_pose, *hands)
    start = Motion(figure.betas, pose, track.transl, times[track.frames])
    cameras = camera_to_world if len(camera_to_world) == 1 else camera_to_world[track.frames]
    seen = seen_points(figure, size)
    fitted = fit_to_picture(figure.body, start, seen, camera, track.contacts, cameras, config, on_progress)
    changed = replace(
        track,
        global_orient=fitted.pose[:, 0],
        body_pose=fitted.pose[:, BODY],
        transl=fitted.transl,
        betas=fitted.betas if own_shape else track.betas,
    )
    return replace(figure, track=changed, betas=fitted.betas)


def seen_points(figure: Figure, size: tuple[int, int]) -> SeenPoints:
    """The measured 2-d joints in the keys of a figure's track; nothing is seen in keys that were not measured.

    Points outside the picture (width, height) are guesses of the network and count for nothing.
    """
    track = figure.track
    measured = track.measured
    rows = np.searchsorted(measured.frames, track.frames).clip(max=len(measured) - 1)
    known = measured.frames[rows] == track.frames
    body = measured.keypoints_px[rows]
    hands = np.stack([measured.left_hand_keypoints_px, measured.right_hand_keypoints_px], 1)[rows]
    inside = ((body >= 0) & (body <= size)).all(-1)
    hands = np.where(((hands >= 0) & (hands <= size)).all(-1, keepdims=True), hands, np.nan)
    trust = track.confidence * known[:, None]
    return SeenPoints(body, inside * trust[:, :1], hands, trust[:, 1:3])
