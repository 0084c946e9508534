"""Custom properties of what was built: each with its unit, its range and a sentence that Blender shows over it."""

from __future__ import annotations

from typing import Any

from aios_core.mocap import CONTACT_POINTS, PARTS

SHARE = {"min": 0.0, "max": 1.0, "subtype": "FACTOR", "precision": 2}
CONFIDENCE = {part: f"aios_confidence_{part.replace(' ', '_')}" for part in PARTS}
CONTACTS = {point: f"aios_contact_{point.replace(' ', '_')}" for point in CONTACT_POINTS}
DESCRIBED: dict[str, tuple[str, dict[str, Any]]] = {
    "aios_track": ("Number of this person in the Mocap file", {}),
    "aios_name": ("Name of this person in the Mocap file", {}),
    "aios_betas": ("Coefficients of the body's shape, standard deviations from the mean", {}),
    "aios_gender": ("Of the body file", {}),
    "aios_body_family": ("Whose shape and expression coefficients these are: the open body's or SMPL-X's", {}),
    "aios_height": ("Height of the body standing at rest", {"subtype": "DISTANCE", "min": 0.0, "precision": 3}),
    "aios_first_frame": ("First frame in which this person was seen", {}),
    "aios_last_frame": ("Last frame in which this person was seen", {}),
    "aios_mean_confidence": ("How far the body can be trusted, the mean of all frames", SHARE),
    "aios_score": ("The network's score of this person in this frame", SHARE),
    "aios_focal_px": ("Focal length of the film camera", {"subtype": "PIXEL", "min": 0.0, "precision": 1}),
    **{
        name: (f"How far the {part} can be trusted in this frame: 1 wholly, 0 not at all", SHARE)
        for part, name in CONFIDENCE.items()
    },
    **{
        name: (f"1 while the {point} stands on the ground, else 0", {"min": 0.0, "max": 1.0, "precision": 0})
        for point, name in CONTACTS.items()
    },
}
"""For every property what it means, and how Blender shows it."""


def set_property(owner: Any, name: str, value: Any) -> None:
    """Give a data block a custom property of DESCRIBED."""
    owner[name] = value
    description, looks = DESCRIBED[name]
    owner.id_properties_ui(name).update(description=description, **looks)
