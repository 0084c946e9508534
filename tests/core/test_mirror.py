"""Thorough captures: a picture and its mirror image looked at together."""

from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from aios_core.body.joints import MIRROR_COCO17
from aios_core.config import CaptureConfig
from aios_core.geometry.rotations import axis_angle_to_rotmat, geodesic_distance, rotmat_to_axis_angle
from aios_core.media import open_footage
from aios_core.pipeline.capture import iterate_people, run_settings
from aios_core.pipeline.mirror import mirrored_people, seen_twice
from aios_core.pipeline.people import FramePeople
from tests.core.test_cli import PHOTO, aios

PLAZA = Path(__file__).parents[2] / "examples" / "footage" / "plaza.mp4"
WIDTH = 960
ROTATIONS = {"global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose"}


def assert_alike(found: FramePeople, expected: FramePeople, atol: float = 1e-3) -> None:
    """Poses are compared as rotations, for which axis-angles of half a turn have two names."""
    assert len(found) == len(expected)
    for name in (field.name for field in fields(FramePeople)):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype == np.float32, name
        if name in ROTATIONS:
            assert geodesic_distance(axis_angle_to_rotmat(a), axis_angle_to_rotmat(b)).max() < atol, name
        else:
            np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return next(islice(open_footage(PLAZA), 20, None)).rgb


@pytest.fixture(scope="module")
def people(frame, tmp_path_factory) -> FramePeople:
    """Three people, as seen once."""
    found = seen(frame, tmp_path_factory.mktemp("plain"), False)
    assert len(found) == 3
    return replace(found, colours=np.zeros_like(found.colours))


def seen(rgb: np.ndarray, folder: Path, thorough: bool) -> FramePeople:
    path = folder / "picture.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    ((_, found),) = iterate_people(path, CaptureConfig(device="cpu", thorough=thorough))
    return found


def test_mirrored_twice_people_are_as_they_were(people):
    assert_alike(mirrored_people(mirrored_people(people, WIDTH), WIDTH), people)


def test_in_a_mirror_left_hands_are_right_ones(people):
    mirrored = mirrored_people(people, WIDTH)
    wrists = mirrored.keypoints_px[:, [9, 10]]
    np.testing.assert_allclose(wrists[..., 0], WIDTH - people.keypoints_px[:, [10, 9], 0], atol=1e-3)
    np.testing.assert_allclose(wrists[..., 1], people.keypoints_px[:, [10, 9], 1])
    boxes = mirrored.boxes_xyxy_px
    assert (boxes[:, 0] < boxes[:, 2]).all()
    np.testing.assert_allclose(np.diff(boxes[:, [0, 2]]), np.diff(people.boxes_xyxy_px[:, [0, 2]]), atol=1e-3)


def test_a_mirrored_picture_gives_mirrored_people_to_the_digit(frame, tmp_path):
    """Once, a network that is trained is nearly symmetric; twice, it is."""
    there, back = (seen(rgb, tmp_path, True) for rgb in (frame, np.ascontiguousarray(frame[:, ::-1])))
    assert len(there) == 3
    back = mirrored_people(back, WIDTH)
    colours = {"colours": np.zeros_like(there.colours)}  # read off pixels, which lie half a pixel to one side
    assert_alike(replace(back, **colours), replace(there, **colours), atol=0.02)


def test_two_answers_that_agree_are_the_answer(people):
    assert_alike(seen_twice(people, mirrored_people(people, WIDTH), WIDTH, 0.4), people)


def test_who_is_seen_once_keeps_half_of_the_score(people):
    mirrored = mirrored_people(people, WIDTH)
    found = seen_twice(people, mirrored.select(np.array([0, 2])), WIDTH, 0.4)
    assert_alike(found.select(slice(2)), people.select(np.array([0, 2])))
    assert found.scores[2] == pytest.approx(people.scores[1] / 2)
    assert_alike(seen_twice(people.select(slice(0)), mirrored, WIDTH, 0.4), replace(people, scores=people.scores / 2))
    nobody = people.select(slice(0))
    assert len(seen_twice(nobody, nobody, WIDTH, 0.4)) == 0


def turned(people: FramePeople, degrees: float) -> FramePeople:
    upright = np.tile(np.array([np.pi, 0, 0], np.float32), (len(people), 1))  # as cameras see people who stand
    yaw = axis_angle_to_rotmat(np.array([0, np.radians(degrees), 0]))
    orient = rotmat_to_axis_angle(yaw @ axis_angle_to_rotmat(upright)).astype(np.float32)
    return replace(people, global_orient=orient)


def test_between_two_answers_lies_the_mean_nearer_to_the_surer(people):
    surer, other = replace(turned(people, 20), scores=np.full(3, 0.9, np.float32)), turned(people, -20)
    other = replace(other, scores=np.full(3, 0.6, np.float32), keypoints_px=other.keypoints_px + 10)
    found = seen_twice(surer, mirrored_people(other, WIDTH), WIDTH, 0.4)
    np.testing.assert_allclose(found.scores, 0.75, atol=1e-6)
    np.testing.assert_allclose(found.keypoints_px - surer.keypoints_px, 4, atol=1e-3)
    facing = geodesic_distance(*(axis_angle_to_rotmat(p.global_orient) for p in (found, turned(people, 4))))
    assert np.degrees(facing).max() < 0.5


def test_of_front_and_back_the_surer_is_believed_and_not_their_mean(people):
    front, back = turned(people, 0), turned(people, 170)
    front = replace(front, scores=np.full(3, 0.9, np.float32))
    back = replace(back, scores=np.full(3, 0.8, np.float32), betas=back.betas + 1)
    for pair in ((front, back), (back, front)):
        found = seen_twice(pair[0], mirrored_people(pair[1], WIDTH), WIDTH, 0.4)
        assert_alike(replace(found, scores=front.scores), front)


def test_keypoints_that_only_change_sides_are_not_averaged_to_a_line(people):
    surer = replace(people, scores=np.full(3, 0.9, np.float32))
    swapped = replace(people, keypoints_px=people.keypoints_px[:, MIRROR_COCO17], scores=np.full(3, 0.7, np.float32))
    found = seen_twice(surer, mirrored_people(swapped, WIDTH), WIDTH, 0.4)
    np.testing.assert_allclose(found.keypoints_px, people.keypoints_px, atol=1e-3)


def test_thorough_captures_do_not_go_on_from_plain_ones():
    footage = open_footage(PHOTO)
    assert run_settings(footage, CaptureConfig()) != run_settings(footage, CaptureConfig(thorough=True))


def test_the_command_line_knows_thorough_and_that_it_is_not_fast():
    result = aios("estimate", PHOTO, "--json", "--thorough", "--threshold", "0.05")
    assert result.returncode == 0 and '"people": [{' in result.stdout, result.stderr
    result = aios("estimate", PHOTO, "--json", "--thorough", "--fast")
    assert result.returncode == 2 and "not allowed with" in result.stderr
