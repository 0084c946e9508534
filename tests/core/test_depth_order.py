"""Who hides somebody stands before them, also where their sizes were misjudged; nobody is moved without reason."""

from dataclasses import replace

import numpy as np
import pytest

from aios_core.config import RefineConfig
from aios_core.evaluation.motion import joints_of
from aios_core.mocap import Mocap
from aios_core.pipeline.refine import raw_track, refine
from tests.motion_clips import clips, placed, the_body
from tests.noisy_mocaps import NetworkNoise, observe, scene


def passing() -> tuple[Mocap, np.ndarray]:
    """Two who pass 0.4 m apart, the nearer first, and (T,) how much of the other's box the nearer's covers."""
    walker = clips()["walker"]
    truth = scene([placed(walker, -1.0, 4.1, 0.0), placed(walker, 1.0, 4.5, np.pi)])
    near, far = (track.boxes_xyxy_px for track in truth.tracks)
    low, high = np.maximum(near[:, :2], far[:, :2]), np.minimum(near[:, 2:], far[:, 2:])
    return truth, np.clip(high - low, 0, None).prod(1) / (far[:, 2:] - far[:, :2]).prod(1)


def misjudged(truth: Mocap, hidden: np.ndarray, seed: int, drop: float = 0.6) -> Mocap:
    """What a network sees of them that takes the nearer for tall and the farther for short, so for the nearer one."""
    seen, rng = observe(truth, NetworkNoise(), seed), np.random.default_rng(seed)

    def track(old, size: float, covered: np.ndarray):
        betas = old.measured.betas + np.float32(size) * np.eye(10, dtype=np.float32)[0]
        scores = np.clip(rng.normal(0.75, 0.06, len(covered)) - drop * covered, 0.05, 1).astype(np.float32)
        return raw_track(old.id, replace(old.measured, betas=betas, scores=scores), old.name)

    near, far = seen.tracks
    return replace(seen, tracks=(track(near, 1.5, 0 * hidden), track(far, -1.5, hidden)))


def share_wrong(found: Mocap, hidden: np.ndarray) -> float:
    near, far = (joints_of(found, track, the_body())[:, 0, 2] for track in found.tracks)
    return float((near > far)[hidden > 0.25].mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_people_of_misjudged_size_stand_in_the_order_in_which_they_hide_each_other(seed):
    truth, hidden = passing()
    seen = misjudged(truth, hidden, seed)
    free = RefineConfig(lock_feet=False, sizes_from_ground=False)  # as where no feet are seen
    assert share_wrong(refine(seen, the_body(), replace(free, order_depths=False)), hidden) > 0.9
    found = refine(seen, the_body(), free)
    assert share_wrong(found, hidden) < 0.05
    other = refine(replace(seen, tracks=seen.tracks[::-1]), the_body(), free)
    assert np.abs(found.tracks[0].transl - other.tracks[1].transl).max() < 1e-3, "the tracks' order does not matter"


@pytest.mark.parametrize("order_depths", [False, True])
def test_the_ground_alone_tells_who_is_nearer_where_feet_are_seen(order_depths):
    truth, hidden = passing()
    found = refine(misjudged(truth, hidden, 0), the_body(), RefineConfig(order_depths=order_depths))
    assert share_wrong(found, hidden) < 0.05


def test_nobody_moves_where_nobody_is_seen_worse_or_the_order_is_right():
    truth, hidden = passing()
    right = misjudged(truth, hidden, 0)
    right = replace(right, tracks=observe(truth, NetworkNoise(), 0).tracks)
    for seen in (misjudged(truth, hidden, 0, drop=0.0), right):
        free, ordered = (refine(seen, the_body(), RefineConfig(order_depths=order)) for order in (False, True))
        assert all(np.array_equal(a.transl, b.transl) for a, b in zip(free.tracks, ordered.tracks, strict=True))
