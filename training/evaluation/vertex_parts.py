"""Which vertices are body, hands and face: read from a body file's skinning weights, whatever body it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import LEFT_HAND, RIGHT_HAND


@dataclass(frozen=True)
class Part:
    """A part of the body and how its errors are measured."""

    name: str
    root: int
    """The joint that predicted and true bodies are put on each other at."""
    skin: tuple[int, ...]
    """Joints whose vertices are the part's."""
    joints: tuple[int, ...]
    """Joints of the 144 measured."""


PARTS = (
    Part("left hand", 20, (20, *range(LEFT_HAND.start, LEFT_HAND.stop)), tuple(range(25, 40))),
    Part("right hand", 21, (21, *range(RIGHT_HAND.start, RIGHT_HAND.stop)), tuple(range(40, 55))),
    Part("face", 12, (15, 22, 23, 24), tuple(range(76, 127))),
)
"""Hands from the wrists on; head, jaw and eyes, put on each other at the neck; the 51 landmarks of the face."""
BODY = Part("body", 0, tuple(j for j in range(55) if not any(j in part.skin for part in PARTS)), tuple(range(22)))
"""All the rest, put on each other at the pelvis."""


def vertices_of(body: BodyModel, part: Part) -> np.ndarray:
    """Indices of the vertices that one of the part's joints moves more than any other joint does."""
    return np.flatnonzero(np.isin(body.lbs_weights.argmax(1), part.skin))
