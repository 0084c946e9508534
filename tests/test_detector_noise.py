"""The noise that is measured of a detector is the one that was put in."""

import numpy as np
import pytest

from benchmarks.detector_noise import Sights, detector_noise
from tests.noisy_mocaps import drift
from tests.tracking_scenes import SLOW_SECONDS, stretches

SHAPES = {
    "score": (),
    "box": (4,),
    "keypoints": (17, 2),
    "depth": (),
    "pose_deg": (21, 3),
    "shape": (10,),
    "token": (8,),
    "colours": (7, 3),
}
FRAMES, FPS = 600, 30


def sights(usual: float, slow: float, astray: float, astray_share: float, seed: int) -> Sights:
    rng = np.random.default_rng(seed)
    leaps = rng.random(FRAMES) < astray_share
    errors = {}
    for name, shape in SHAPES.items():
        size = np.where(leaps, astray, usual).reshape(-1, *[1] * len(shape))
        errors[name] = rng.normal(0, 1, (FRAMES, *shape)) * size + slow * drift(
            rng, (FRAMES, *shape), SLOW_SECONDS * FPS
        )
    mirrored = stretches(rng, (1, FRAMES), 0.2, 0.5 * FPS)[0]
    return Sights(FRAMES + 20, np.full(30, 0.2), errors, np.full(FRAMES, 0.6), mirrored, 1 / FPS)


def test_fast_slow_and_astray_errors_are_told_apart():
    found = detector_noise([sights(0.02, 0.03, 0.3, 0.08, seed) for seed in range(3)], false_people=0.5)
    assert found.astray == pytest.approx(0.08, abs=0.02)
    for error in (found.box, found.keypoints, found.pose_deg, found.shape):
        assert error.usual == pytest.approx(0.02, rel=0.25)
        assert error.slow == pytest.approx(0.03, rel=0.3)
        assert error.astray == pytest.approx(0.3, rel=0.2)
    assert found.token.usual == pytest.approx(0.02 * 8**0.5, rel=0.25), "a length, not of each component"


def test_shares_are_of_what_could_have_been_found():
    found = detector_noise([sights(0.02, 0.0, 0.02, 0.0, 0)], false_people=0.25)
    assert found.missed == pytest.approx(20 / 620)
    assert found.duplicates == pytest.approx(30 / 600)
    assert found.duplicate_score == pytest.approx(0.2)
    assert found.score == pytest.approx(0.6) and found.false_people == 0.25


def test_how_often_and_how_long_people_are_mirrored_is_counted():
    found = detector_noise([sights(0.02, 0.0, 0.02, 0.0, seed) for seed in range(40)], false_people=0.0)
    assert found.mirrored == pytest.approx(0.2, abs=0.03)
    assert found.mirrored_seconds == pytest.approx(0.5, abs=0.08)
