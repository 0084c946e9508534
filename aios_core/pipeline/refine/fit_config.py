"""How far the fit to the picture trusts what: every weight is the size of an ordinary error, in its own unit."""

from __future__ import annotations

from dataclasses import dataclass

_TRUNK, _LIMB, _END = 4.0, 6.0, 9.0


@dataclass(frozen=True)
class FitConfig:
    """Sizes of ordinary errors (one standard deviation) and times for which they last."""

    pose_sigma_deg: tuple[float, ...] = (
        _LIMB, _LIMB, _LIMB, _TRUNK, _LIMB, _LIMB, _TRUNK, _END, _END, _TRUNK, _END, _END, _LIMB, _TRUNK, _TRUNK, _LIMB,
        _LIMB, _LIMB, _LIMB, _LIMB, _END, _END,
    )  # fmt: skip
    """(22) of the start's local rotations, degrees of rotation, root of the mean square."""
    across_sigma: float = 0.05
    """Of the start's place across the line of sight, metres, ..."""
    depth_sigma: float = 0.04
    """and along it, as a share of the distance."""
    start_seconds: float = 0.3
    """Errors of the start keep their direction for so long; faster corrections are held back."""
    shape_sigma: float = 0.05
    """Of the start's betas, a whole clip's mean; lasting errors of keypoints look like another shape. 0 keeps them."""
    keypoint_sigma: float = 0.01
    """Of keypoints at confidence 1, as a share of the person's height in the picture, beside the jitter that is found
    in them."""
    keypoint_seconds: float = 0.1
    """Errors of keypoints keep their direction for so long: more frames in that time say nothing new."""
    keypoint_tolerance: float = 4.0
    """Keypoints off by more than so many standard deviations soon count for nothing."""
    turn_acceleration: float = 20.0
    """Of joints in calm motion, radians a second squared a component."""
    limb_acceleration: float = 8.0
    """Of shoulders to wrists and hips to ankles in calm motion, metres a second squared a component."""
    contact_speed: float = 0.15
    """Of points of the soles that stand, metres a second a component."""
    hinge_slack_deg: float = 2.0
    """Knees and elbows may be bent the wrong way by so much for nothing, ..."""
    hinge_sigma_deg: float = 1.0
    """and by so much more as an ordinary error."""
    window_seconds: float = 10.0
    """Longer motions are fitted in windows of this length ..."""
    overlap_seconds: float = 2.0
    """that overlap by this much."""
    rounds: int = 12
    """Gauss-Newton steps at most."""
