"""Ten named directions of expression, mixed from the CC0 face units; opening the mouth is the jaw joint's."""

from __future__ import annotations

import numpy as np

from aios_core.body.open_body.source import LEFT_EYE, RIGHT_EYE, SKIN


def _both(unit: str, amount: float) -> dict[str, float]:
    return {unit + "Left": amount, unit + "Right": amount}


EXPRESSIONS: dict[str, dict[str, float]] = {
    "smile / frown": {**_both("mouthSmile", 0.34), **_both("cheekSquint", 0.12), **_both("mouthFrown", -0.40)},
    "brows up / down": {"browInnerUp": 0.60, **_both("browOuterUp", 0.52), **_both("browDown", -0.42)},
    "eyes shut / wide": {**_both("eyeBlink", 0.30), **_both("eyeWide", -0.35)},
    "pucker / stretch": {"mouthPucker": 0.40, "mouthFunnel": 0.15, **_both("mouthStretch", -0.40)},
    "mouth left / right": {"mouthLeft": 0.30, "mouthRight": -0.30},
    "upper lip+sneer / press": {
        **_both("mouthUpperUp", 0.45), **_both("noseSneer", 0.40), **_both("mouthPress", -0.25),
    },
    "lower lip down / shrug": {**_both("mouthLowerDown", 0.50), "mouthShrugLower": -0.40},
    "cheeks puff / suck": {"cheekPuff": 0.30},
    "smile left / right": {"mouthSmileLeft": 0.26, "mouthSmileRight": -0.26},
    "brows worried / angry": {
        "browInnerUp": 0.75, **_both("browOuterUp", -0.35), **_both("browDown", -0.30), **_both("eyeSquint", 0.15),
    },
}  # fmt: skip
"""What +1 / -1 of each coefficient does, and the face units that +1 adds."""
STILL = 3e-4  # metres per unit below which a vertex counts as left alone


def expression_directions(units: dict[str, np.ndarray], groups: np.ndarray) -> np.ndarray:
    """(V, 3, 10) metres per unit. Eyeballs stay: they follow their joints alone."""
    directions = np.stack([sum(k * units[name] for name, k in mix.items()) for mix in EXPRESSIONS.values()], -1)
    directions[(groups == LEFT_EYE) | (groups == RIGHT_EYE)] = 0
    return directions


def still_skin(directions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(V,) skin that no expression moves noticeably: where joints may be measured from."""
    return (np.linalg.norm(directions, axis=1).max(-1) < STILL) & (groups == SKIN)
