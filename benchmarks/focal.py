"""How well the focal length is told from how people walk, against the picture's diagonal, on simulated clips.

    python -m benchmarks.focal

Four people walk two metres each, towards the camera, away from it and aslant, seen with the shipped network's errors.
"""

from __future__ import annotations

import numpy as np

from aios_core.pipeline.focal import estimate_focal
from tests.core.test_focal import USUAL, walkers
from tests.motion_clips import the_body
from tests.noisy_mocaps import WIDTH

SEEDS = range(3)
FIELDS_OF_VIEW = (28, 35, 45, 55, 65, 75)


def main() -> None:
    """Measure and print."""
    print("field of view   error of the diagonal   mean error from walking   stated sigma")
    errors, guesses = [], []
    for fov in FIELDS_OF_VIEW:
        focal = WIDTH / 2 / np.tan(np.radians(fov / 2))
        found = [estimate_focal(walkers(focal, seed), the_body()) for seed in SEEDS]
        error = np.mean([abs((f.focal_px if f else USUAL) / focal - 1) for f in found])
        sigma = np.mean([f.sigma for f in found if f])
        errors.append(error)
        guesses.append(abs(USUAL / focal - 1))
        print(f"{fov:10d} deg {guesses[-1]:23.0%} {error:25.0%} {sigma:14.0%}", flush=True)
    print(f"mean           {np.mean(guesses):23.0%} {np.mean(errors):25.0%}")


if __name__ == "__main__":
    main()
