"""The focal length from how people walk: the way their feet say they went, against their change of size in the picture.

Whatever the focal length, a person's place across the line of sight comes out the same, and the distance in proportion
to it. So somebody who walks towards the camera or away tells it: planted feet measure the way in metres (as pedometers
do), the size in the picture measures it as a share of the distance. The person's height cancels. How well feet measure
ways is read off the axes across the line of sight, where the picture knows the truth. All is weighed against the belief
that lenses are ordinary; where nobody walks in depth, nothing is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import full_pose, rest_joints
from aios_core.body.transfer import body_for_shape
from aios_core.config import RefineConfig
from aios_core.mocap import Mocap, Track
from aios_core.pipeline.refine.feet import body_transforms, posed_soles, sole_points
from aios_core.pipeline.refine.ground import estimate_ground
from aios_core.pipeline.refine.motion import clean, stretches_of

BELIEVED_SIGMA = 0.35
"""Of the logarithm of a lens's focal length around the usual one."""
INFORMED_SIGMA = 0.25
"""People have told something when it is known to within this."""
SIZE_SIGMA, SIZE_SECONDS = 0.05, 0.6
"""Error of a person's size in the picture, as a share, and the time for which it lasts."""
GAIN, GAIN_SIGMA = 1.1, 0.12
"""Ways are longer than feet measure by this factor, the same for the whole clip: networks make steps too short."""
WAY_SIGMA = 0.06
"""Metres for the root of a second, at least: errors of measured ways add up."""
WORST_WAY_SIGMA = 0.5
"""Feet that measure worse (of somebody who runs) are not listened to."""
LEAST_WAY = 0.8
"""Metres in depth that somebody must go to be listened to."""
STEP_SECONDS = 0.25
LONGEST_SECONDS = 20.0
MOST_WAYS = 40
LOG_FOCALS = np.linspace(-1, 1, 41)
GAINS = np.linspace(0.7, 1.5, 9)
PLACED = RefineConfig(body_seconds=0.4, depth_seconds=1.0)


@dataclass(frozen=True)
class FocalEstimate:
    """What a clip says of its camera's focal length."""

    focal_px: float
    sigma: float
    """Standard deviation of its logarithm."""


@dataclass(frozen=True)
class _Way:
    """A stretch of K moments of somebody's way, camera frame, with the Mocap's focal length."""

    times: np.ndarray
    """(K,) seconds"""
    walked: np.ndarray
    """(K, 3) metres, as planted feet measure it."""
    seen: np.ndarray
    """(K, 3) metres, the pelvis as the picture shows it."""
    sigma: float
    """Metres for the root of a second: error of `walked`."""


def estimate_focal(mocap: Mocap, body: BodyModel) -> FocalEstimate | None:
    """The focal length in pixels that fits the ways of everybody in raw tracks; None where nobody tells.

    The Mocap's own focal length is the usual one that is believed in, and its camera must have stood still.
    """
    ways = _ways(mocap, body)
    if not ways:
        return None
    cost = 0.5 * (LOG_FOCALS / BELIEVED_SIGMA)[:, None] ** 2 + 0.5 * ((GAINS - GAIN) / GAIN_SIGMA) ** 2
    cost = cost + sum(_cost(way) for way in ways)
    share = np.exp(cost.min() - cost).sum(1)
    share /= share.sum()
    mean = float(share @ LOG_FOCALS)
    sigma = float(np.sqrt(share @ (LOG_FOCALS - mean) ** 2))
    if sigma > INFORMED_SIGMA:
        return None
    return FocalEstimate(mocap.camera.focal_px * float(np.exp(mean)), sigma)


def with_estimated_focal(mocap: Mocap, body: BodyModel, on_warning: Callable[[str], None]) -> Mocap:
    """A clip's raw Mocap with the focal length that people tell if nobody else does; says where it comes from."""
    if mocap.camera.focal_from != "diagonal" or mocap.source_kind == "image":
        return mocap
    found = estimate_focal(mocap, body)
    if found is None:
        on_warning(
            f"The focal length is a guess, the picture's diagonal ({mocap.camera.focal_px:.0f} px): nobody walks far "
            "enough towards the camera or away to tell it. --focal or --fov state it."
        )
        return mocap
    on_warning(
        f"The focal length, {found.focal_px:.0f} px give or take {found.sigma:.0%}, is estimated from how people walk. "
        "--focal or --fov state it."
    )
    return replace(mocap, camera=replace(mocap.camera, focal_px=found.focal_px, focal_from="people"))


def _ways(mocap: Mocap, body: BodyModel) -> list[_Way]:
    """The ways in depth that can be listened to, longest first."""
    people = [_pelvis_and_feet(track, mocap, body) for track in mocap.tracks if track.measured is not None]
    if not people:
        return []
    up = estimate_ground([], np.concatenate([trunk for *_, trunk in people]))[0][2, :3]
    ways = [
        _way(times[piece], pelvis[piece], feet[piece], up)
        for times, pelvis, feet, stretches, _ in people
        for stretch in stretches
        for piece in _pieces(times, stretch)
    ]
    told = [w for w in ways if np.ptp(w.walked[:, 2]) >= LEAST_WAY and w.sigma <= WORST_WAY_SIGMA]
    return sorted(told, key=lambda w: -np.ptp(w.walked[:, 2]))[:MOST_WAYS]


def _pelvis_and_feet(track: Track, mocap: Mocap, body: BodyModel) -> tuple:
    """Of a cleaned raw track (N,) seconds, pelvis (N, 3), both feet from it (N, 2, 3), stretches and trunks (N, 3)."""
    fitted, betas, _ = body_for_shape(body, track.betas, mocap.body_family)
    size = (mocap.width, mocap.height)
    track = clean(track, mocap.timestamps, fitted, betas, mocap.camera, size, PLACED)
    pose = full_pose(track.global_orient, track.body_pose)
    transforms = body_transforms(fitted, betas, pose, track.transl)
    soles = posed_soles(transforms, sole_points(fitted, betas), rest_joints(fitted, betas))
    pelvis = transforms[:, 0, :3, 3]
    feet = soles.reshape(-1, 2, 2, 3).mean(2) - pelvis[:, None]
    trunks = transforms[:, 12, :3, 3] - pelvis
    return mocap.timestamps[track.frames], pelvis, feet, stretches_of(track, mocap.timestamps), trunks


def _pieces(times: np.ndarray, stretch: slice) -> list[slice]:
    """Pieces of a stretch that last long enough to tell and no longer than LONGEST_SECONDS."""
    inside = times[stretch]
    if len(inside) < 2:
        return []
    edges = stretch.start + np.searchsorted(inside, np.arange(inside[0], inside[-1], LONGEST_SECONDS))
    stops = [*edges[1:], stretch.stop]
    pieces = [slice(int(a), int(b)) for a, b in zip(edges, stops, strict=True)]
    return [p for p in pieces if p.stop - p.start > 3 and times[p.stop - 1] - times[p.start] >= 4 * STEP_SECONDS]


def _way(times: np.ndarray, pelvis: np.ndarray, feet: np.ndarray, up: np.ndarray) -> _Way:
    """The way of a pelvis (N, 3) with feet (N, 2, 3) from it: the lower foot is the one that stands."""
    height = feet @ up
    lower = (height[1:] + height[:-1]).argmin(1)
    steps = -np.diff(feet, axis=0)[np.arange(len(lower)), lower]
    walked = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])
    at = np.arange(times[0], times[-1] + 1e-9, STEP_SECONDS)
    walked, seen = (np.stack([np.interp(at, times, v) for v in vectors.T], 1) for vectors in (walked, pelvis))
    apart = np.diff((seen - walked)[:, :2], axis=0)
    by_size = 2 * (1 - np.exp(-STEP_SECONDS / SIZE_SECONDS)) * SIZE_SIGMA**2 * (seen[:, :2] ** 2).sum(1).mean()
    excess = 0.75 * ((apart**2).sum(1).mean() - by_size) / STEP_SECONDS
    return _Way(at, walked, seen, float(np.sqrt(max(WAY_SIGMA**2, excess))))


def _cost(way: _Way) -> np.ndarray:
    """(41, 9) minus the log-likelihood of a way over LOG_FOCALS and GAINS, with an unknown start.

    The covariances are those at the usual focal length, so that only the ways tell and not how much they jitter.
    """
    since = way.times - way.times[0]
    lasting = np.exp(-np.abs(since[:, None] - since) / SIZE_SECONDS)
    adding = way.sigma**2 * np.minimum(since[:, None], since)
    across, depth = np.abs(way.seen[:, 0]) * SIZE_SIGMA + 0.03, way.seen[:, 2] * SIZE_SIGMA
    whiten_x, whiten_z = (_without_start(np.outer(e, e) * lasting + adding) for e in (across, depth))
    x = way.seen[:, 0] - GAINS[:, None] * way.walked[:, 0]
    scale = GAINS / np.exp(LOG_FOCALS)[:, None]
    z = way.seen[:, 2] - scale[..., None] * way.walked[:, 2]
    return 0.5 * (((x @ whiten_x) * x).sum(-1) + ((z @ whiten_z) * z).sum(-1))


def _without_start(covariance: np.ndarray) -> np.ndarray:
    """(K, K) the inverse of a covariance with the constant projected out."""
    inverse = np.linalg.inv(covariance)
    one = inverse.sum(1)
    return inverse - np.outer(one, one) / one.sum()
