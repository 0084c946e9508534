"""From what the network saw of each person to clean motion: the second half of a capture, without the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.transfer import body_for_shape
from aios_core.config import RefineConfig
from aios_core.mocap import MEASURED, Measured, Mocap, Track
from aios_core.pipeline.refine.depth_order import order_depths
from aios_core.pipeline.refine.facing import facing_one_way
from aios_core.pipeline.refine.fit_figure import fit_figure
from aios_core.pipeline.refine.motion import clean
from aios_core.pipeline.refine.size import resized
from aios_core.pipeline.refine.space import Figure, ground_of, settled, stand


def raw_track(number: int, measured: Measured, name: str | None = None) -> Track:
    """A track that repeats what was measured, with one shape and nobody placed yet."""
    count = len(measured)
    return Track(
        id=number,
        name=name or f"Person {number}",
        frames=measured.frames,
        global_orient=measured.global_orient,
        body_pose=measured.body_pose,
        left_hand_pose=measured.left_hand_pose,
        right_hand_pose=measured.right_hand_pose,
        jaw_pose=measured.jaw_pose,
        expression=measured.expression,
        betas=one_shape(measured),
        transl=np.zeros((count, 3), np.float32),
        scores=measured.scores,
        boxes_xyxy_px=measured.boxes_xyxy_px,
        keypoints_px=measured.keypoints_px,
        key_kinds=np.full(count, MEASURED, np.uint8),
        confidence=np.repeat(measured.scores[:, None], 4, 1).astype(np.float32),
        contacts=np.zeros((count, 4), bool),
        measured=measured,
    )


def one_shape(measured: Measured) -> np.ndarray:
    """(10,) the person's shape: the score-weighted mean of the frames, without the tenth farthest from their median."""
    distance = np.linalg.norm(measured.betas - np.median(measured.betas, axis=0), axis=-1)
    kept = distance <= np.quantile(distance, 0.9)
    weights = np.maximum(measured.scores[kept], 1e-6)
    return np.average(measured.betas[kept], axis=0, weights=weights).astype(np.float32)


def refine(
    mocap: Mocap,
    body: BodyModel,
    config: RefineConfig,
    on_warning: Callable[[str], None] = lambda _: None,
    shapes: Mapping[int, np.ndarray] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Mocap:
    """The Mocap with clean motion made from what was measured of every track; tracks without measurements stay.

    shapes: betas (10,) of tracks whose shape is known, by their number; people are placed anew for them. on_progress:
    how many frames of all tracks are fitted to the picture, which takes longest, and how many there are.
    """
    figures, warnings, shapes = [], [], shapes or {}
    size = (mocap.width, mocap.height)
    for track in mocap.tracks:
        fitted, betas, warning = body_for_shape(body, track.betas, mocap.body_family)
        if track.measured is not None:
            raw = raw_track(track.id, track.measured, track.name)
            known = shapes.get(track.id)
            raw = raw if known is None else replace(raw, betas=np.asarray(known, np.float32))
            fitted, betas, warning = body_for_shape(body, raw.betas, mocap.body_family)
            raw = facing_one_way(raw, mocap.timestamps, fitted, mocap.camera, config.replace_outliers)
            track = clean(raw, mocap.timestamps, fitted, betas, mocap.camera, size, config)
        warnings += [warning] if warning and warning not in warnings else []
        figures.append(Figure(track, fitted, betas, track.id in shapes))
    for warning in warnings:
        on_warning(warning)
    if config.order_depths:
        figures = _farther(figures, order_depths(figures, mocap.timestamps), body, mocap.body_family)
    figures, camera_to_world = _grounded(figures, body, mocap, config)
    if config.fit_picture:
        # The fit weighs contacts softly, by itself; they are told from legs that nothing has moved yet.
        figures = [replace(f, track=stand(f, camera_to_world, mocap.timestamps, False)) for f in figures]
        figures = _fitted(figures, mocap, camera_to_world, on_progress)
        figures, camera_to_world = _grounded(figures, body, mocap, config)
    figures = [replace(f, track=stand(f, camera_to_world, mocap.timestamps, config.lock_feet)) for f in figures]
    tracks = [replace(f.track, measured=track.measured) for f, track in zip(figures, mocap.tracks, strict=True)]
    return replace(mocap, tracks=tuple(tracks), camera_to_world=camera_to_world)


def _fitted(
    figures: list[Figure], mocap: Mocap, camera_to_world: np.ndarray, on_progress: Callable[[int, int], None]
) -> list[Figure]:
    """The figures fitted to the picture, one after the other."""
    fitted, size = [], (mocap.width, mocap.height)
    before, total = 0, sum(len(figure.track) for figure in figures)

    def tell(frames: int = 0) -> None:
        on_progress(before + frames, total)

    tell()
    for figure in figures:
        fitted.append(fit_figure(figure, mocap.camera, size, camera_to_world, mocap.timestamps, on_progress=tell))
        before += len(figure.track)
        tell()
    return fitted


def _grounded(
    figures: list[Figure], body: BodyModel, mocap: Mocap, config: RefineConfig
) -> tuple[list[Figure], np.ndarray]:
    """The figures at the distance at which they stand on the ground, and (1 or T, 4, 4) camera to world."""
    if len(mocap.camera_to_world) > 1:
        return figures, settled(figures, mocap.camera_to_world, mocap.timestamps)
    camera_to_world, factors = ground_of(figures, mocap.timestamps, config.level_camera)
    if config.sizes_from_ground:
        figures = _farther(figures, factors, body, mocap.body_family)
    return figures, camera_to_world[None]


def _farther(figures: list[Figure], factors: np.ndarray, body: BodyModel, family: str) -> list[Figure]:
    """The measured figures so many times as far away, and as tall."""
    return [
        figure if figure.track.measured is None else resized(figure, factor, body, family)
        for figure, factor in zip(figures, factors.tolist(), strict=True)
    ]
