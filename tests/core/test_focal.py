"""The focal length from how people walk: near the truth where somebody walks in depth, untouched where nobody does."""

from dataclasses import replace

import numpy as np
import pytest

from aios_core import mocap as m
from aios_core.geometry.camera import default_focal_px
from aios_core.mocap import Camera, Mocap
from aios_core.pipeline.focal import estimate_focal, with_estimated_focal
from tests.motion_clips import clips, placed, the_body
from tests.noisy_mocaps import HEIGHT, WIDTH, NetworkNoise, observe, scene

USUAL = default_focal_px(WIDTH, HEIGHT)


def walkers(focal: float, seed: int) -> Mocap:
    """What a noisy network sees of four who walk to the camera, away from it and aslant, before the usual camera."""
    walker, far = clips()["walker"], 6.0 * (focal / 820) ** 0.5
    ways = [(-1.2, far, -np.pi / 2), (0.8, far - 1.5, np.pi / 2), (1.6, far, -2.0), (-0.4, far + 1, -1.2)]
    truth = scene([placed(walker, *way) for way in ways], focal=focal)
    return usual(observe(truth, NetworkNoise(), seed))


def usual(mocap: Mocap) -> Mocap:
    return replace(mocap, camera=Camera(USUAL, mocap.camera.center_px, "diagonal"))


def test_lenses_from_28_to_75_degrees_are_told_from_how_people_walk():
    errors, guessed = [], []
    for seed, fov in enumerate((28, 35, 45, 60, 75)):
        focal = WIDTH / 2 / np.tan(np.radians(fov / 2))
        found = estimate_focal(walkers(focal, seed), the_body())
        assert found.sigma < 0.25
        errors.append(abs(np.log(found.focal_px / focal)))
        guessed.append(abs(np.log(USUAL / focal)))
        assert errors[-1] < max(guessed[-1], 0.3)
    assert np.mean(errors) < 0.6 * np.mean(guessed), (errors, guessed)


def test_people_who_stay_where_they_are_tell_nothing():
    cast = clips()
    still = scene([placed(cast["boxer"], 0.8, 4.5, 3.5), placed(cast["dancer"], -1, 4.5, np.pi)], focal=1800.0)
    seen = usual(observe(still, NetworkNoise(), 0))
    said = []
    assert estimate_focal(seen, the_body()) is None
    assert with_estimated_focal(seen, the_body(), said.append) is seen
    assert "a guess" in said[0]


@pytest.mark.parametrize("kept", [[0], [0, 1], [0, 40, 41], [3, 30, 60]])
def test_people_who_are_hardly_seen_tell_nothing_either(kept):
    seen = walkers(820.0, 0)
    tracks = tuple(replace(t, measured=t.measured.select(np.array(kept))) for t in seen.tracks)
    assert estimate_focal(replace(seen, tracks=tracks), the_body()) is None
    assert estimate_focal(replace(seen, tracks=()), the_body()) is None


def test_where_the_focal_length_comes_from_is_said_and_stored(tmp_path):
    seen, said = walkers(820.0, 0), []
    found = with_estimated_focal(seen, the_body(), said.append)
    assert found.camera.focal_from == "people"
    assert f"{found.camera.focal_px:.0f} px" in said[0]
    assert m.load(m.save(found, tmp_path / "a.npz")).camera == found.camera
    for source in ("user", "exif"):
        given = replace(seen, camera=replace(seen.camera, focal_from=source))
        assert with_estimated_focal(given, the_body(), said.append) is given
    assert len(said) == 1


def test_a_mirrored_and_a_reversed_clip_have_the_same_focal_length():
    seen = walkers(700.0, 1)
    there = estimate_focal(seen, the_body()).focal_px
    reversed_tracks = tuple(
        replace(t, measured=replace(t.measured.select(np.arange(len(t))[::-1]), frames=t.measured.frames))
        for t in seen.tracks
    )
    assert estimate_focal(replace(seen, tracks=reversed_tracks), the_body()).focal_px == pytest.approx(there, rel=0.1)
    assert estimate_focal(replace(seen, tracks=seen.tracks[::-1]), the_body()).focal_px == pytest.approx(there)
