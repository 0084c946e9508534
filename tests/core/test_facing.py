"""Who was seen from the wrong side for a while is understood from what came before and after; real turns stay."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from aios_core import mocap as mocap_file
from aios_core.body.joints import MIRROR_55, MIRROR_COCO17
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.cli import main
from aios_core.config import RefineConfig
from aios_core.evaluation.motion import motion_scores
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.mocap import IMPUTED, Measured, Mocap, Track
from aios_core.pipeline.refine import raw_track, refine
from aios_core.pipeline.refine.facing import either, facing_one_way, mirrored_along_sight
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
    wrong = either(right, mirrored_along_sight(right, mocap.camera), np.isin(np.arange(len(right)), rows))
    return replace(mocap, tracks=(raw_track(1, wrong, "astray"),))


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


def test_sides_confused_in_the_picture_alone_are_seen_where_both_figures_are_alike():
    """Somebody who stands in profile, left and right apart in the picture and not in space."""
    _, mocap = seen("boxer")
    measured = mocap.tracks[0].measured
    count, confused = len(measured), np.arange(60, 70)
    still = {name: np.repeat(getattr(measured, name)[:1], count, 0) for name in ("joints_px", "keypoints_px")}
    still["keypoints_px"][:, 1::2, 0] += 40
    still["keypoints_px"][:, 2::2, 0] -= 40
    still["keypoints_px"][confused] = still["keypoints_px"][confused][:, MIRROR_COCO17]
    sight = (still["joints_px"][0, 0] - mocap.camera.center_px) / mocap.camera.focal_px
    profile = axis_angle_to_rotmat(np.array([np.pi, 0, 0])) @ axis_angle_to_rotmat(
        np.array([0, np.pi / 2 - np.arctan(sight[0]), 0])
    )
    still["global_orient"] = np.repeat(rotmat_to_axis_angle(profile)[None], count, 0).astype(np.float32)
    still["body_pose"] = np.zeros_like(measured.body_pose)
    track = understood(replace(mocap, tracks=(raw_track(1, replace(measured, **still)),)))
    assert np.array_equal(np.flatnonzero(track.key_kinds == IMPUTED), confused)


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


def test_what_the_user_states_holds_against_all_that_speaks_for_the_other_way(tmp_path):
    _, mocap = seen("boxer")
    path, yaw = mocap_file.save(refine(mocap, the_body(), RefineConfig()), tmp_path / "clip.npz"), []
    for options in ([], ["--turn", "1=20-139"], ["--smooth", "2"], ["--turn", "1=20-139"], ["--keep-outliers"]):
        assert main(["refine", str(path), "--progress", "none", *options]) == 0
        orient = axis_angle_to_rotmat(mocap_file.load(path).tracks[0].global_orient)
        yaw.append(orient[:, 2, 2])  # away from the camera
    there, turned, still, back, kept = yaw
    assert np.abs(there[25:135]).min() > 0.2
    assert np.array_equal(np.sign(turned[25:135]), -np.sign(there[25:135])), "turned about"
    assert np.array_equal(np.sign(still[25:135]), np.sign(turned[25:135])), "and so it stays when it is refined again"
    for again in (back, kept):
        assert np.array_equal(np.sign(again[25:135]), np.sign(there[25:135]))


def test_turning_about_what_is_not_there_is_one_sentence(tmp_path, capsys):
    path = mocap_file.save(seen("boxer")[1], tmp_path / "clip.npz")
    for wrong, said in (
        ("1=5", "first and last frame"),
        ("2=0-5", "no track 2"),
        ("1=900-901", "Nothing was measured"),
    ):
        assert main(["refine", str(path), "--progress", "none", "--turn", wrong]) == 2
        assert said in capsys.readouterr().err


def test_files_from_before_facing_was_stated_are_read(tmp_path):
    _, mocap = seen("boxer")
    path = mocap_file.save(mocap, tmp_path / "clip.npz")
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if "facing" not in name}
    np.savez(path, **arrays)
    assert not mocap_file.load(path).tracks[0].measured.facing.any()


def test_pictures_far_apart_in_time_are_each_taken_as_they_are():
    _, mocap = seen("boxer")
    rows = np.arange(0, 150, 30)
    few = replace(mocap, tracks=(raw_track(1, mocap.tracks[0].measured.select(rows)),))
    assert not (understood(wrong_way_round(few, np.array([1, 3]))).key_kinds == IMPUTED).any()
    assert len(understood(replace(few, tracks=(raw_track(1, few.tracks[0].measured.select(rows[:1] * 0)),))).measured)
