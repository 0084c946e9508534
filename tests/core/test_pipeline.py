"""From predictions to tracks: one entry a person, places that match the picture, the same person over time."""

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.body.files import open_body
from aios_core.body.joints import MIRROR_COCO17
from aios_core.body.skinning import full_pose, mirrored_pose, pose_joints
from aios_core.config import OPEN, CaptureConfig
from aios_core.errors import AiosError
from aios_core.geometry.camera import (
    default_focal_px,
    focal_px_from_35mm,
    focal_px_from_fov,
    network_translation,
    project,
    refit_translation,
)  # fmt: skip
from aios_core.media import Footage
from aios_core.model.framing import Framing, framing
from aios_core.model.predictions import LayerPredictions
from aios_core.pipeline.capture import iterate_people
from aios_core.pipeline.people import FramePeople, people_from_predictions, without_duplicates
from aios_core.pipeline.placement import place
from aios_core.pipeline.shot import network_joints_px, network_projection, shot_camera
from aios_core.pipeline.track import Tracker


def rotations(*shape: int, seed: int) -> torch.Tensor:
    from aios_core.geometry.rotations import axis_angle_to_rotmat

    rng = np.random.default_rng(seed)
    return torch.tensor(axis_angle_to_rotmat(rng.normal(0, 0.4, (*shape, 3))), dtype=torch.float32)


def predictions(count: int = 5, seed: int = 0) -> LayerPredictions:
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(1, count, *shape, generator=generator)

    return LayerPredictions(
        logits=torch.linspace(3, -3, count)[None, :, None].repeat(1, 1, 2) - torch.tensor([5.0, 0.0]),
        boxes=torch.cat([rand(2), 0.1 + 0.1 * rand(2)], -1), keypoints=rand(17, 2),
        body_rotmats=rotations(1, count, 22, seed=seed), left_hand_rotmats=rotations(1, count, 15, seed=seed + 1),
        right_hand_rotmats=rotations(1, count, 15, seed=seed + 2), jaw_rotmats=rotations(1, count, 1, seed=seed + 3),
        betas=rand(10), expression=rand(10), camera=0.2 + rand(3), person_tokens=rand(16),
        left_hand_keypoints=rand(6, 2), right_hand_keypoints=rand(6, 2), face_keypoints=rand(6, 2),
    )  # fmt: skip


def people(boxes: list[list[float]], scores=None) -> FramePeople:
    """People in these boxes, joints spread over them."""
    boxes = np.array(boxes, np.float32)
    count = len(boxes)
    spread = np.random.default_rng(1).random((17, 2)).astype(np.float32)
    points = boxes[:, None, :2] + spread * (boxes[:, None, 2:] - boxes[:, None, :2])
    zeros = {"global_orient": (3,), "body_pose": (21, 3), "left_hand_pose": (15, 3), "right_hand_pose": (15, 3),
             "jaw_pose": (3,), "expression": (10,), "betas": (10,), "camera": (3,), "tokens": (8,), "colours": (7, 3),
             **{f"{part}_keypoints_px": (6, 2) for part in ("left_hand", "right_hand", "face")}}  # fmt: skip
    return FramePeople(
        scores=np.array(scores if scores is not None else np.linspace(0.9, 0.5, count), np.float32),
        boxes_xyxy_px=boxes, keypoints_px=points,
        **{name: np.zeros((count, *shape), np.float32) for name, shape in zeros.items()},
    )  # fmt: skip


def whole(width, height):
    size = (width, height)
    return Framing(size, size, size)


def test_people_are_those_over_the_threshold_best_first_in_pixels():
    found = people_from_predictions(predictions(), [whole(640, 480)], None, 0.3)[0]
    assert len(found) == 3
    assert (np.diff(found.scores) < 0).all()
    assert found.keypoints_px[..., 0].max() > 1
    expected = predictions().keypoints[0, :3].numpy() * [640, 480]
    assert np.allclose(found.keypoints_px, expected, atol=1e-3)


def test_people_on_a_canvas_are_put_where_they_are_in_the_picture():
    placed = framing(1280, 720, replace(OPEN, short_side=288, long_side=480))
    assert placed.resized == (480, 270) and placed.canvas == (480, 288)
    there = people_from_predictions(predictions(), [placed], None, 0.3)[0]
    on_canvas = predictions().keypoints[0, :3].numpy() * [480, 288]
    assert np.allclose(there.keypoints_px, (on_canvas - [0, 9]) * 1280 / 480, atol=1e-3)
    sides = there.boxes_xyxy_px[:, 2:] - there.boxes_xyxy_px[:, :2]
    assert np.allclose(sides, predictions().boxes[0, :3, 2:].numpy() * [1280, 768], atol=1e-3)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (721, 1280), (300, 300), (2, 2000)])
def test_the_networks_camera_looks_along_the_middle_of_the_picture_whatever_its_shape(size):
    axis = np.array([[[0.0, 0.0, 0.0]]]), np.array([[0.1, 0.0, 0.0]])
    placed = framing(*size, OPEN)
    assert np.abs(network_projection(*axis, size, OPEN) - np.array(size) / 2).max() <= 0.5 * placed.pixel.max() + 1e-9
    right = np.array([[[1.0, 0.0, 0.0]]]), np.array([[0.1, 0.0, 0.0]])
    way = network_projection(*right, size, OPEN) - network_projection(*axis, size, OPEN)
    assert way[0, 0] == pytest.approx([OPEN.camera_focal_px / 10 * placed.pixel[0], 0])


def test_relative_hands_become_absolute_by_adding_the_mean_component_by_component():
    mean = (np.full((15, 3), 0.1, np.float32), np.full((15, 3), -0.2, np.float32))
    relative = people_from_predictions(predictions(), [whole(64, 48)], None, 0.3)[0]
    absolute = people_from_predictions(predictions(), [whole(64, 48)], mean, 0.3)[0]
    assert np.allclose(absolute.left_hand_pose, relative.left_hand_pose + 0.1, atol=1e-6)
    assert np.allclose(absolute.right_hand_pose, relative.right_hand_pose - 0.2, atol=1e-6)


def test_the_same_person_twice_is_kept_once_and_a_hug_is_two_people():
    twice = people([[0, 0, 50, 100], [2, 1, 51, 102], [200, 0, 260, 100]])
    assert without_duplicates(twice, 0.4).scores.tolist() == pytest.approx([0.9, 0.5])
    hug = people([[0, 0, 50, 100], [6, 0, 56, 100]])
    hug.keypoints_px[1, :, 0] = 50 - hug.keypoints_px[1, :, 0]
    assert len(without_duplicates(hug, 0.4)) == 2


def bodies_at(count=4, seed=3):
    rng = np.random.default_rng(seed)
    joints = rng.normal(0, 0.4, (count, 22, 3))
    return joints, np.stack([rng.uniform(-1, 1, count), rng.uniform(-0.5, 0.5, count), rng.uniform(3, 8, count)], -1)


def test_refitting_to_the_same_camera_gives_the_translation_back():
    joints, transl = bodies_at()
    center = np.array([320.0, 200.0])
    points = project(joints + transl[:, None], 800, center)
    assert np.abs(refit_translation(joints, points, 800, center) - transl).max() < 1e-4


@pytest.mark.parametrize("factor", [0.4, 0.7, 2.0])
def test_another_focal_length_scales_the_depth_and_keeps_the_picture(factor):
    joints, transl = bodies_at()
    joints *= [1, 1, 0.3]
    center = np.array([320.0, 200.0])
    points = project(joints + transl[:, None], 5000, center)
    refitted = refit_translation(joints, points, 5000 * factor, center)
    again = project(joints + refitted[:, None], 5000 * factor, center)
    assert np.abs(again - points).mean() < 0.02 * np.ptp(points, axis=1).mean()
    assert refitted[:, 2] / transl[:, 2] == pytest.approx(np.full(4, factor), rel=0.06)


def test_a_batch_gives_each_picture_its_own_people():
    found = predictions()
    arrays = {name: value for name, value in vars(found).items() if value is not None}
    both = replace(found, **{name: torch.cat([array, array.flip(1)]) for name, array in arrays.items()})
    both.logits[1, -1] = -9.0  # the best is missing in the second picture
    first, second = people_from_predictions(both, [whole(640, 480), whole(320, 240)], None, 0.3)
    alone = people_from_predictions(found, [whole(640, 480)], None, 0.3)[0]
    assert all(np.allclose(getattr(first, f.name), getattr(alone, f.name)) for f in fields(FramePeople))
    assert len(second) == len(first) - 1 > 0
    assert np.allclose(second.boxes_xyxy_px, first.boxes_xyxy_px[1:] / 2)
    both.logits[:] = -9.0
    assert [len(people) for people in people_from_predictions(both, [whole(64, 48)] * 2, None, 0.3)] == [0, 0]


def test_nobody_ends_up_behind_the_camera():
    joints, _ = bodies_at()
    wild = np.random.default_rng(0).uniform(0, 600, (4, 22, 2))
    refitted = refit_translation(joints, wild, 500, np.array([300, 300]))
    assert ((joints + refitted[:, None])[..., 2] > 0.09).all()


def test_placed_people_cover_the_pixels_the_network_saw_them_at():
    body, size = open_body(), (1280, 720)
    found = people_from_predictions(predictions(), [framing(*size, OPEN)], None, 0.1)[0]
    # x and y of the camera are small against its depth: everybody near the middle of the picture
    scale = np.array([0.12, 0.1, 0.09, 0.15, 0.11], np.float32)[: len(found)]
    camera = np.stack([scale, 0.1 * np.arange(len(found)) - 0.2, 0.05 * np.ones(len(found))], -1).astype(np.float32)
    found = replace(found, camera=camera, betas=found.betas * 0)
    shot = shot_camera(_footage(*size), CaptureConfig())
    joints = pose_joints(body, found.betas, full_pose(found.global_orient, found.body_pose))[:, :22]
    seen = network_joints_px(found, body, found.betas, size, OPEN)
    transl = place(joints, seen, found.keypoints_px, shot, keypoint_weight=0.0)
    again = shot.project(joints + transl[:, None])
    assert np.abs(again - seen).mean() < 0.03 * np.ptp(seen, axis=1).mean()
    assert network_translation(found.camera)[:, 2] == pytest.approx(1 / scale, rel=1e-4)


def _footage(width: int, height: int) -> Footage:
    return Footage(Path("x"), "video", width, height, Fraction(25), 1)


def test_the_focal_length_comes_from_the_user_else_from_the_diagonal():
    footage = _footage(1600, 1200)
    assert shot_camera(footage, CaptureConfig(focal_px=900)).focal_px == 900
    assert shot_camera(footage, CaptureConfig(fov_deg=90)).focal_px == pytest.approx(800)
    assert shot_camera(footage, CaptureConfig()).focal_px == pytest.approx(2000) == default_focal_px(1600, 1200)
    assert focal_px_from_35mm(1600, 1200, 36) == 1600
    assert focal_px_from_fov(1600, 53.13) == pytest.approx(1600, rel=1e-3)


def walk(order=(0, 1), steps=20, fps=25.0, drop=()):
    """Two people who cross; ids by person for each frame."""
    tracker, found = Tracker(0.7), []
    for i in range(steps):
        t = i / steps
        boxes = [[20 + 200 * t, 50, 80 + 200 * t, 220], [260 - 200 * t, 60, 320 - 200 * t, 230]]
        shown = [k for k in order if (i, k) not in drop]
        frame = people([boxes[k] for k in shown], [0.9] * len(shown))
        ids = tracker.update(frame, i / fps)
        found.append({k: int(n) for k, n in zip(shown, ids, strict=True)})
    return found


def test_people_who_cross_keep_their_numbers():
    found = walk()
    assert all(frame == found[0] for frame in found)


def test_shuffled_detections_give_the_same_tracks():
    assert walk((0, 1)) == walk((1, 0))


def test_somebody_hidden_for_a_moment_comes_back_as_the_same_person():
    found = walk(drop={(i, 0) for i in range(6, 10)})
    assert found[-1][0] == found[0][0]


def test_a_weak_detection_continues_a_track_but_starts_none():
    tracker = Tracker(0.7)
    assert tracker.update(people([[0, 0, 50, 100]], [0.3]), 0.0, birth_score=0.4).tolist() == [0]
    assert tracker.update(people([[0, 0, 50, 100]], [0.6]), 0.04, birth_score=0.4).tolist() == [1]
    assert tracker.update(people([[1, 0, 51, 100]], [0.3]), 0.08, birth_score=0.4).tolist() == [1]
    both = people([[7, 0, 57, 100], [2, 0, 52, 100]], [0.8, 0.3])
    assert tracker.update(both, 0.12, birth_score=0.4).tolist() == [1, 0], (
        "a strong detection goes before a nearer weak one"
    )


def test_somebody_away_for_long_comes_back_as_somebody_new():
    tracker = Tracker(0.5)
    first = tracker.update(people([[0, 0, 50, 100]]), 0.0)
    assert tracker.update(people([[0, 0, 50, 100]]), 2.0)[0] != first[0]


def test_a_mirrored_network_gives_mirrored_people():
    """Selection and pixels know no side: mirrored predictions come out as mirrored people."""
    from aios_core.body.joints import MIRROR_55
    from aios_core.geometry.rotations import rotmat_to_axis_angle

    original = predictions()
    flip = torch.tensor([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])
    body_order = torch.as_tensor(MIRROR_55[:22])
    other = replace(
        original,
        boxes=original.boxes * torch.tensor([-1.0, 1, 1, 1]) + torch.tensor([1.0, 0, 0, 0]),
        keypoints=original.keypoints[:, :, torch.as_tensor(MIRROR_COCO17)] * torch.tensor([-1.0, 1])
        + torch.tensor([1.0, 0]),
        body_rotmats=original.body_rotmats[:, :, body_order] * flip,
        left_hand_rotmats=original.right_hand_rotmats * flip,
        right_hand_rotmats=original.left_hand_rotmats * flip,
    )  # fmt: skip
    a = people_from_predictions(original, [whole(640, 480)], None, 0.3)[0]
    b = people_from_predictions(other, [whole(640, 480)], None, 0.3)[0]
    pose = np.zeros((len(a), 55, 3), np.float32)
    pose[:, 0], pose[:, 1:22], pose[:, 25:40], pose[:, 40:] = (
        a.global_orient,
        a.body_pose,
        a.left_hand_pose,
        a.right_hand_pose,
    )
    mirror = mirrored_pose(pose)
    assert np.allclose(b.body_pose, mirror[:, 1:22], atol=1e-4)
    assert np.allclose(b.left_hand_pose, mirror[:, 25:40], atol=1e-4)
    assert np.allclose(b.boxes_xyxy_px[:, [2, 0]], 640 - a.boxes_xyxy_px[:, [0, 2]], atol=1e-2)
    assert np.allclose(b.keypoints_px[:, 5], [640, 0] + a.keypoints_px[:, 6] * [-1, 1], atol=1e-2)
    assert rotmat_to_axis_angle(np.eye(3)).tolist() == [0, 0, 0]


def test_half_precision_sees_the_same_people():
    footage = Path(__file__).parents[2] / "examples/footage"
    exact, half = (
        next(iterate_people(footage / "plaza.mp4", CaptureConfig(precision=p, batch=1, stop=1)))[1]
        for p in ("float32", "float16")
    )
    # Scores that are nearly equal change places.
    differences = np.abs(half.keypoints_px[None] - exact.keypoints_px[:, None]).mean((2, 3))
    order = differences.argmin(1)
    assert sorted(order) == list(range(len(exact))) and len(exact) == len(half) == 3
    # In the median: where the network hesitates between two answers, rounding decides.
    half = half.select(order)
    assert np.median(np.abs(half.keypoints_px - exact.keypoints_px)) < 0.5
    assert 0 < np.median(np.abs(half.body_pose - exact.body_pose)) < 0.005
    with pytest.raises(AiosError, match="float8"):
        next(iterate_people(footage / "astronaut.jpg", CaptureConfig(precision="float8")))
