"""Who was seen from the wrong side for a while is understood from what came before and after; real turns stay."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from aios_core.body.joints import MIRROR_55
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.config import RefineConfig
from aios_core.evaluation.motion import motion_scores
from aios_core.mocap import IMPUTED, Measured, Mocap, Track
from aios_core.pipeline.refine import raw_track, refine
from aios_core.pipeline.refine.facing import facing_one_way, mirrored_along_sight
from tests.motion_clips import clips, placed, the_body
from tests.noisy_mocaps import NetworkNoise, observe, scene

STEADY = NetworkNoise(flips=0, swaps=0)
YAW = {"dancer": np.pi, "boxer": 3.5}


def seen(name: str, fps: int = 30) -> tuple[Mocap, Mocap]:
    """A truth of one person, and what a network saw of it."""
    truth = scene([placed(clips()[name], 0.3, 4.5, YAW[name])], Fraction(fps))
    return truth, observe(truth, STEADY, 0)


def wrong_way_round(mocap: Mocap, rows: np.ndarray) -> Mocap:
    """The person taken for the mirrored one in some rows of what was measured."""
    right = mocap.tracks[0].measured
    wrong = mirrored_along_sight(right, mocap.camera)
    arrays = {name: value.copy() for name, value in vars(right).items()}
    for name, value in arrays.items():
        value[rows] = getattr(wrong, name)[rows]
    return replace(mocap, tracks=(raw_track(1, Measured(**arrays), "astray"),))


def understood(mocap: Mocap) -> Track:
    return facing_one_way(mocap.tracks[0], mocap.timestamps, the_body(), mocap.camera)


@pytest.mark.parametrize("name", list(YAW))
@pytest.mark.parametrize("fps", [25, 60])
def test_a_person_seen_from_the_wrong_side_for_a_second_moves_as_if_seen_rightly(name, fps):
    truth, right = seen(name, fps)
    rows = np.arange(fps // 2, fps // 2 + fps)
    wrong = wrong_way_round(right, rows)
    found, usual = (refine(mocap, the_body(), RefineConfig()) for mocap in (wrong, right))
    after, before = (motion_scores(truth, truth.tracks[0], m, m.tracks[0], the_body()) for m in (found, usual))
    assert after.root_mpjpe_mm < before.root_mpjpe_mm + 3
    assert after.reprojection_px < before.reprojection_px + 1
    track = found.tracks[0]
    assert np.array_equal(np.flatnonzero(track.key_kinds == IMPUTED), rows), "what was reinterpreted is marked"
    assert np.array_equal(track.measured.global_orient, wrong.tracks[0].measured.global_orient), "and kept as it was"


def test_the_fit_to_the_picture_goes_by_the_sides_as_they_are_understood():
    truth, right = seen("boxer")
    wrong = wrong_way_round(right, np.arange(30, 75))
    found, usual = (refine(mocap, the_body(), RefineConfig(fit_picture=True)) for mocap in (wrong, right))
    after, before = (motion_scores(truth, truth.tracks[0], m, m.tracks[0], the_body()) for m in (found, usual))
    assert after.root_mpjpe_mm < before.root_mpjpe_mm + 3


def test_a_mirrored_person_fills_the_same_outline_and_a_twice_mirrored_one_is_the_first():
    truth, mocap = seen("dancer")
    first = mocap.tracks[0].measured
    other = mirrored_along_sight(first, mocap.camera)
    again = mirrored_along_sight(other, mocap.camera)
    for name, value in vars(first).items():
        assert np.allclose(getattr(again, name), value, atol=1e-4), name

    def picture(measured: Measured) -> np.ndarray:
        pose = full_pose(measured.global_orient, measured.body_pose)
        joints = pose_joints(the_body(), np.zeros((len(pose), 10), np.float32), pose)[:, :22]
        return truth.camera.project(joints - joints[:, :1] + [0.0, 0.0, 50.0])  # hardly any perspective

    here, there = picture(first), picture(other)[:, MIRROR_55[:22]]
    assert np.abs(here - there).max() < 2.0 < np.abs(here - picture(other)).max()


@pytest.mark.parametrize("seconds", [0.4, 0.8])
def test_who_turns_about_and_stays_so_is_believed(seconds):
    boxer = placed(clips()["boxer"], 0.0, 4.5, 3.5)
    times = np.arange(len(boxer)) / 30
    turned = [placed(boxer, 0.0, 4.5, yaw) for yaw in np.pi * np.clip((times - 2) / seconds, 0, 1)]
    rows = np.arange(len(boxer))
    pose, transl = (np.stack([getattr(turned[i], name)[i] for i in rows]) for name in ("pose", "transl"))
    mocap = observe(scene([replace(boxer, pose=pose, transl=transl)]), STEADY, 0)
    assert not (understood(mocap).key_kinds == IMPUTED).any()


@pytest.mark.parametrize("yaw", [-np.pi / 2, np.pi / 2])
def test_of_two_ways_that_are_seen_as_often_the_one_that_walks_forwards_is_believed(yaw):
    mocap = observe(scene([placed(clips()["walker"], 0.0, 5.0, yaw)]), STEADY, 0)  # towards the camera, or away
    count = len(mocap.tracks[0].measured)
    rows = np.arange(count // 4, count - count // 4)
    rows = np.concatenate([rows, [count - 1]])  # one more of the wrong ones than of the right ones
    assert np.array_equal(np.flatnonzero(understood(wrong_way_round(mocap, rows)).key_kinds == IMPUTED), rows)


def test_who_is_always_seen_to_walk_backwards_does():
    mocap = observe(scene([placed(clips()["walker"], 0.0, 5.0, np.pi / 2)]), STEADY, 0)
    wrong = wrong_way_round(mocap, np.arange(len(mocap.tracks[0].measured)))
    assert not (understood(wrong).key_kinds == IMPUTED).any()


def test_pictures_far_apart_in_time_are_each_taken_as_they_are():
    _, mocap = seen("boxer")
    rows = np.arange(0, 150, 30)
    few = replace(mocap, tracks=(raw_track(1, mocap.tracks[0].measured.select(rows)),))
    assert not (understood(wrong_way_round(few, np.array([1, 3]))).key_kinds == IMPUTED).any()
    assert len(understood(replace(few, tracks=(raw_track(1, few.tracks[0].measured.select(rows[:1] * 0)),))).measured)
