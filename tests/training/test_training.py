"""Training: targets know left from right, matching finds the right query, losses vanish at the truth, runs resume."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from aios_core.body import skinning
from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.config import OPEN as MODEL
from aios_core.config import BackboneConfig
from aios_core.errors import CheckpointError
from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.model.checkpoint import build_model
from aios_core.model.framing import framing
from aios_core.model.predictions import LayerPredictions
from aios_core.model.preprocess import MEAN
from aios_core.model.selection import rows_at
from training import targets as targets_module
from training.config import OPEN, SmallPictures
from training.data.sample import Sample, joints_px, read_shard, write_shard
from training.dense import side_loss
from training.losses import aligned_loss, decoder_losses, layer_loss, project
from training.matcher import iou_and_giou, match, match_costs, oks
from training.metrics import assign, average_precision, best_threshold, mpjpe, pa_mpjpe, pck
from training.open_recipe import OpenRecipe
from training.recipe import Randomness
from training.targets import batch, first_people, fit_camera, mirrored, undrawn_batch
from training.train import Limits, train
from training.views import draw_colours, drawn_where_they_are, recoloured

TINY = replace(
    MODEL, backbone=BackboneConfig("basic", (1, 1, 1, 1), (16, 16, 32, 32), stem_width=16, frozen_norm=False),
    hidden_dim=32, heads=2, feedforward_dim=64, encoder_layers=1, queries=12, people=4, mlp_dim=32, short_side=64,
    long_side=96, canvas=(96, 64), camera_focal_px=500.0,
)  # fmt: skip
QUICK = replace(
    OPEN, batch=2, bfloat16=False, log_steps=1, warmup_steps=4, checkpoint_seconds=1e9,
    paired_share=0.0, max_zoom=1.2, matrix_rate=2e-3, transformer_rate=1e-3,
)  # fmt: skip


def make_sample(seed=0, people=2, width=192, height=128) -> Sample:
    """People in front of a flat background; each is a bright box, so that there is something to see."""
    rng = np.random.default_rng(seed)
    body, focal = open_body(), 150.0
    pose = rng.normal(0, 0.2, (people, 55, 3)).astype(np.float32)
    pose[:, 0] += [np.pi, 0, 0]
    betas = rng.normal(0, 1, (people, 10)).astype(np.float32)
    transl = np.stack([np.linspace(-1, 1, people), np.full(people, 0.3), np.full(people, 3.5)], -1).astype(np.float32)
    posed = skinning.pose_body(body, betas, betas * 0, pose, transl)
    joints = skinning.joints_144(body, posed, pose).astype(np.float32)
    points = posed.vertices[..., :2] / posed.vertices[..., 2:] * focal + [width / 2, height / 2]
    boxes = np.concatenate([points.min(1), points.max(1)], -1).clip(0, [width, height] * 2).astype(np.float32)
    image = np.full((height, width, 3), 60, np.uint8)
    for x0, y0, x1, y1 in boxes.astype(int):
        image[y0:y1, x0:x1] = rng.integers(120, 255, 3)

    def around(which):
        p = joints[:, which, :2] / joints[:, which, 2:] * focal + [width / 2, height / 2]
        return np.concatenate([p.min(1), p.max(1)], -1).astype(np.float32)

    return Sample(
        image, focal, pose, betas, betas * 0, transl, joints, np.ones((people, 144), bool), boxes,
        around(range(25, 40)), around(range(40, 55)), around(range(76, 127)), np.ones(people, np.float32),
    )  # fmt: skip


def test_shards_give_back_what_was_written(tmp_path):
    samples = [make_sample(0), make_sample(1, people=3)]
    write_shard(tmp_path, 4, samples)
    shard = read_shard(tmp_path, 4)
    for i, sample in enumerate(samples):
        for name, value in vars(sample).items():
            assert np.array_equal(getattr(shard.sample(i), name), value), name


def test_a_mirrored_sample_mirrors_the_body_model_too():
    """The labels of the mirrored picture are those of the mirrored pose: the body is symmetric to millimetres."""
    sample = make_sample()
    sample = replace(sample, betas=sample.betas * 0)
    body = open_body()
    there = skinning.pose_joints(body, sample.betas, sample.full_pose, sample.transl)
    flipped = mirrored(replace(sample, joints=np.concatenate([there, sample.joints[:, 55:]], 1).astype(np.float32)))
    again = skinning.pose_joints(body, flipped.betas, flipped.full_pose, flipped.transl)
    assert np.abs(again - flipped.joints[:, :55]).max() < 0.03
    points, mirror_points = joints_px(sample), joints_px(mirrored(sample))
    width = sample.image.shape[1]
    assert np.allclose(mirror_points[:, 16, 0], width - points[:, 17, 0], atol=1e-3), (
        "left shoulder is the right one's mirror"
    )


def test_mirroring_twice_changes_nothing():
    sample = make_sample()
    for name, value in vars(mirrored(mirrored(sample))).items():
        assert np.allclose(value, getattr(sample, name), atol=1e-5), name


def test_targets_are_fractions_of_the_training_picture():
    sample = make_sample()
    images, targets = batch([(sample,)], QUICK, TINY, np.random.default_rng(0), augment=False)
    assert images.shape == (1, 64, 96, 3)
    assert targets.valid.sum() == 2
    expected = sample.boxes_xyxy_px / [192, 128, 192, 128]
    found = targets.boxes[0, :2].numpy()
    assert np.allclose(found[:, :2] - found[:, 2:] / 2, expected[:, :2], atol=1e-5)
    projected = project(targets.joints[0, :2] + 0, targets.camera[0, :2], 500.0, torch.tensor([96.0, 64.0]))
    assert projected.shape == (2, 55, 2)


@pytest.mark.parametrize("shape", [16 / 9, 9 / 16], ids=["side by side", "one above the other"])
def test_two_samples_share_a_picture_and_each_ones_people_lie_in_its_half(shape, monkeypatch):
    monkeypatch.setattr(targets_module, "SHAPES", ((1.0, (shape, shape)),))
    samples = make_sample(0), make_sample(1, people=3)
    rng, axis = np.random.default_rng(0), int(shape < 1)
    for _ in range(8):
        images, targets = batch([samples], replace(QUICK, max_zoom=2.0), TINY, rng)
        assert (images.shape[1] > images.shape[2]) == (shape < 1)
        boxes = targets.boxes[0, targets.valid[0]].numpy()
        assert 2 <= len(boxes) <= 5 and (np.diff(boxes[:, 3]) <= 0).all(), "the largest first"
        edges = boxes[:, [axis]] + boxes[:, [2 + axis]] * [-0.5, 0.5]
        middle = 0.5 + 0.02 * np.array([[1, -1]])  # an odd number of pixels has no middle
        assert ((edges <= middle[:, 0]).all(1) | (edges >= middle[:, 1]).all(1)).all()
        shown = targets.keypoints_weight[0, targets.valid[0]].numpy() > 0
        in_first_half = targets.keypoints[0, targets.valid[0], :, axis].numpy() < 0.5
        assert (in_first_half == (boxes[:, [axis]] < 0.5))[shown].all(), "joints in the other half are not seen"
        assert boxes[:, 3].max() > 0.2


def test_batches_have_the_shapes_of_photographs_films_and_upright_pictures_with_their_people_inside():
    model, rng = replace(TINY, short_side=96, long_side=160), np.random.default_rng(0)
    sample = replace(make_sample(), image=np.full((128, 192, 3), 255, np.uint8))
    shapes = []
    for _ in range(80):
        images, targets = batch([(sample,), (sample,)], QUICK, model, rng)
        for image, boxes, points, weights, valid in zip(
            images, targets.boxes, targets.keypoints, targets.keypoints_weight, targets.valid, strict=True
        ):
            size = np.array(image.shape[1::-1])
            rows, columns = np.nonzero((image.numpy() != np.round(MEAN)).any(-1))
            low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
            assert len(rows) == (high - low).prod() > 0.7 * size.prod(), "a rectangle with narrow bars"
            assert np.abs(low + high - size).max() <= 1, "in the middle"
            boxes = boxes[valid].numpy() * np.tile(size, 2)
            corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
            assert (corners >= np.tile(low, 2) - 1e-3).all() and (corners <= np.tile(high, 2) + 1e-3).all()
            points = points[valid].numpy() * size
            in_grey = ((points < low) | (points >= high)).any(-1)
            assert (weights[valid].numpy()[in_grey] == 0).all()
        shapes.append((high - low)[0] / (high - low)[1])
    shapes = np.array(shapes)
    assert 0.15 < np.mean(np.abs(shapes - 1.75) < 0.16) < 0.5, "films"
    assert 0.1 < np.mean(shapes < 0.81) < 0.4, "upright"
    assert np.ptp(shapes) > 1


@pytest.mark.parametrize("shape", [1.5, 16 / 9, 0.6])
def test_in_pictures_of_every_shape_the_fitted_camera_still_puts_the_joints_where_they_are(shape, monkeypatch):
    monkeypatch.setattr(targets_module, "SHAPES", ((1.0, (shape, shape)),))
    sample = make_sample()
    config, rng = replace(QUICK, max_zoom=1.0), np.random.default_rng(1)
    placed = framing(round(1000 * shape), 1000, TINY)
    focal_px = sample.focal_px * float((np.array(placed.resized) / [192, 128]).max())
    errors = []
    for _ in range(10):
        images, targets = batch([(sample,)], config, replace(TINY, camera_focal_px=focal_px), rng)
        size = torch.tensor(images.shape[2:0:-1], dtype=torch.float32)
        for person in np.flatnonzero(targets.valid[0]):
            betas, joints_px = targets.betas[0, person].numpy(), targets.joints_px[0, person, :22]
            local = targets.joints[0, person, :22] + torch.tensor(skinning.rest_joints(open_body(), betas)[0])
            again = project(local[None].float(), targets.camera[0, person][None], focal_px, size)[0]
            errors.append(float((again - joints_px).norm(dim=-1).max() / (joints_px.amax(0) - joints_px.amin(0)).max()))
    # What lies at the side of a wide picture and is shown upright has no camera of its own that fits exactly.
    assert len(errors) >= 10 and np.median(errors) < (0.05 if shape > 1 else 0.08) and max(errors) < 0.1


def test_the_fitted_camera_puts_the_joints_where_they_are():
    sample = make_sample()
    size = np.array([192, 128], np.float32)
    camera = fit_camera(sample.joints[:, :22], sample.transl, joints_px(sample)[:, :22], size, sample.focal_px)
    local = torch.tensor(sample.joints[:, :22] - sample.transl[:, None])
    again = project(local, torch.tensor(camera), sample.focal_px, torch.tensor(size))
    assert np.abs(again.numpy() - joints_px(sample)[:, :22]).max() < 0.05


def test_matching_gives_every_person_the_query_that_lies_on_it():
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.2], [0.7, 0.5, 0.2, 0.4], [0.5, 0.5, 0.9, 0.9]]])
    truth = boxes[:, [1, 0]]
    points = torch.rand(1, 2, 17, 2)
    costs = match_costs(torch.zeros(1, 3), boxes, None, truth, points, torch.ones(1, 2, 17))
    index, turned = match([costs, costs.flip(1)], torch.tensor([[True, True]]))
    assert index.tolist() == [[1, 0]] and turned.tolist() == [[1, 2]], "each layer has queries of its own"
    (nobody,) = match([costs], torch.tensor([[True, False]]))
    assert nobody.tolist() == [[1, 0]], "padding answers to query 0 and is masked everywhere"


def test_overlap_and_similarity_on_hand_worked_cases():
    a, b = torch.tensor([0.5, 0.5, 0.2, 0.2]), torch.tensor([0.6, 0.5, 0.2, 0.2])
    iou, giou = iou_and_giou(a, b)
    assert float(iou) == pytest.approx(1 / 3, abs=1e-4)
    assert float(giou) == pytest.approx(1 / 3, abs=1e-4)
    assert float(iou_and_giou(a, torch.tensor([0.9, 0.5, 0.2, 0.2]))[1]) == pytest.approx(-1 / 3, abs=1e-4)
    points = torch.zeros(1, 2, 2)
    moved = torch.tensor([[[0.0, 0.0], [0.1, 0.0]]])
    value = oks(points, moved, torch.ones(1, 2), torch.tensor([1.0]), torch.tensor([0.05, 0.05]))
    assert float(value) == pytest.approx((1 + np.exp(-0.01 / (2 * 0.01))) / 2, abs=1e-4)


def truth_as_prediction(t) -> LayerPredictions:
    """What a network would say that knows the truth."""
    return LayerPredictions(
        logits=torch.where(t.valid, 20.0, -20.0)[..., None], boxes=t.boxes, keypoints=t.keypoints,
        left_hand_boxes=t.part_boxes[:, :, 0], right_hand_boxes=t.part_boxes[:, :, 1], face_boxes=t.part_boxes[:, :, 2],
        left_hand_keypoints=t.part_keypoints[:, :, 0], right_hand_keypoints=t.part_keypoints[:, :, 1],
        face_keypoints=t.part_keypoints[:, :, 2], body_rotmats=t.rotmats[:, :, :22], jaw_rotmats=t.rotmats[:, :, 22:23],
        left_hand_rotmats=t.rotmats[:, :, 25:40], right_hand_rotmats=t.rotmats[:, :, 40:], betas=t.betas,
        expression=t.expression, camera=t.camera,
    )  # fmt: skip


def losses(prediction, t):
    index, people = torch.arange(10)[None], t.valid[0].nonzero()[:, 0]
    body, size = TorchBody(open_body()), torch.tensor([96.0, 64.0])
    return layer_loss(prediction, t, index, people, body, QUICK.weights, 500.0, size)


def test_losses_vanish_at_the_truth_and_grow_away_from_it():
    _, t = batch([(make_sample(),)], QUICK, TINY, np.random.default_rng(0), augment=False)
    eye = torch.eye(3).expand(1, 10, 22, 3, 3)
    prediction = truth_as_prediction(t)
    for name, value in losses(prediction, t).items():
        assert float(value) < 0.02, name
    worse = losses(replace(prediction, body_rotmats=eye, keypoints=t.keypoints + 0.05), t)
    assert worse["keypoints"] > 0.4 and worse["global_orient"] > 0.5 and worse["joints_3d"] > 0.1


def test_layers_of_a_stage_lose_together_what_each_loses_alone():
    _, t = batch([(make_sample(0),), (make_sample(1),)], QUICK, TINY, np.random.default_rng(0), augment=False)
    truth, body, size = truth_as_prediction(t), TorchBody(open_body()), torch.tensor([96.0, 64.0])
    layers = [replace(truth, keypoints=t.keypoints + 0.05 * k, betas=t.betas + k) for k in range(3)]
    layers.append(LayerPredictions(logits=truth.logits, boxes=0.9 * truth.boxes))  # of the box stage
    for copies in (0, 1):
        together = decoder_losses(layers, t, body, QUICK.weights, 500.0, size, copies)
        alone = [decoder_losses([layer], t, body, QUICK.weights, 500.0, size, copies) for layer in layers]
        assert float(together.total) == pytest.approx(sum(float(losses.total) for losses in alone), rel=1e-5)
        assert float(together.total) > 5


def test_who_is_only_turned_loses_nothing_where_the_turn_is_taken_out():
    _, t = batch([(make_sample(),)], QUICK, TINY, np.random.default_rng(0), augment=False)
    prediction = truth_as_prediction(t)
    quarter = torch.tensor(axis_angle_to_rotmat(np.array([0.0, np.pi / 2, 0.0])), dtype=torch.float32)
    turned, bent = prediction.body_rotmats.clone(), prediction.body_rotmats.clone()
    turned[:, :, 0] = quarter @ turned[:, :, 0]
    bent[:, :, 18] = quarter @ bent[:, :, 18]  # left elbow
    turned, bent = (losses(replace(prediction, body_rotmats=rotmats), t) for rotmats in (turned, bent))
    assert turned["joints_3d"] > 0.5 and turned["joints_aligned"] < 0.02
    assert bent["joints_aligned"] > 0.05


def test_aligned_joints_may_be_moved_turned_and_larger_but_not_mirrored():
    rng = np.random.default_rng(0)
    truth = torch.tensor(rng.normal(size=(5, 22, 3)), dtype=torch.float32)
    turn = torch.tensor(axis_angle_to_rotmat(rng.normal(size=(5, 3))), dtype=torch.float32)
    moved = 1.7 * truth @ turn + torch.tensor([1.0, -2.0, 3.0])
    assert float(aligned_loss(moved, truth)) < 1e-5
    assert float(aligned_loss(truth * torch.tensor([-1.0, 1, 1]), truth)) > 0.3
    noisy = (truth + 0.05 * torch.tensor(rng.normal(size=truth.shape), dtype=torch.float32)).requires_grad_()
    loss = aligned_loss(noisy, truth)
    error = pa_mpjpe(noisy.detach().numpy(), truth.numpy()).mean()
    assert error < float(loss.detach()) < math.sqrt(3) * error  # L1 is up to that much longer than a distance
    loss.backward()
    assert float(aligned_loss((noisy - 0.01 * noisy.grad / noisy.grad.norm()).detach(), truth)) < float(loss.detach())


def test_gathering_people_takes_each_pictures_own():
    values = torch.arange(12.0).view(2, 3, 2)
    assert rows_at(values, torch.tensor([[2, 0], [1, 1]]))[:, :, 0].tolist() == [[4, 0], [8, 8]]


def test_average_precision_on_hand_worked_cases():
    assert average_precision(np.array([0.9, 0.8]), np.array([True, True]), 2) == pytest.approx(1)
    assert average_precision(np.array([0.9, 0.8]), np.array([False, True]), 1) == pytest.approx(0.5)
    assert average_precision(np.array([0.9]), np.array([True]), 2) == pytest.approx(51 / 101)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0
    taken = assign(np.array([0.5, 0.9]), np.array([[0, 0, 10, 10], [0, 0, 10, 9]]), np.array([[0, 0, 10, 10]]), 0.5)
    assert taken.tolist() == [-1, 0], "the better score takes the box, a second prediction of it is a false one"


def test_joint_errors_on_hand_worked_cases():
    truth = np.random.default_rng(0).normal(0, 1, (2, 22, 3))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    assert pa_mpjpe(truth @ turn.T * 1.7 + 3, truth) == pytest.approx([0, 0], abs=1e-9)
    assert mpjpe(truth + 5, truth) == pytest.approx([0, 0], abs=1e-9)
    off = truth.copy()
    off[:, 1:] += [0.1, 0, 0]
    assert mpjpe(off, truth) == pytest.approx([0.1 * 21 / 22] * 2)
    mirror = truth * [-1, 1, 1]
    assert pa_mpjpe(mirror, truth).min() > 0.1, "a mirror image is no rotation"
    hits = pck(np.array([[[0, 0], [9, 0]]]), np.zeros((1, 2, 2)), np.ones((1, 2), bool), np.array([50.0]))
    assert hits.tolist() == [True, False]


def test_a_short_run_lowers_the_loss_resumes_exactly_and_leaves_weights_that_load(tmp_path):
    write_shard(tmp_path / "data", 0, [make_sample(seed) for seed in range(4)])
    weights = train(OpenRecipe(QUICK, TINY, tmp_path / "data"), tmp_path / "run", Limits(steps=60))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    totals = [line["total"] for line in lines]
    assert np.mean(totals[-12:]) < 0.95 * np.mean(totals[:12])
    model = build_model(weights)
    assert model.config == TINY

    # The same run, stopped in the middle: every later step is the same to the last digit.
    steady = replace(QUICK, decay_from=1.0)
    for folder, stops in (("whole", [8]), ("halves", [5, 8])):
        for stop in stops:
            train(OpenRecipe(steady, TINY, tmp_path / "data"), tmp_path / folder, Limits(steps=stop))
    totals = [
        [json.loads(line)["total"] for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        for folder in ("whole", "halves")
    ]
    assert totals[0] == totals[1]


def test_a_run_goes_on_with_larger_pictures(tmp_path, capsys):
    write_shard(tmp_path / "data", 0, [make_sample(seed) for seed in range(4)])
    train(OpenRecipe(QUICK, TINY, tmp_path / "data"), tmp_path / "run", Limits(steps=2))
    large = replace(TINY, long_side=2 * TINY.long_side, short_side=2 * TINY.short_side)
    for other in (replace(large, queries=11), replace(large, canvas=(10, 10))):
        with pytest.raises(CheckpointError, match=r"other settings: (queries|canvas)\."):
            train(OpenRecipe(QUICK, other, tmp_path / "data"), tmp_path / "run", Limits(steps=3))
    weights = train(OpenRecipe(QUICK, large, tmp_path / "data"), tmp_path / "run", Limits(steps=4))
    assert "Going on from step 2. Changed since: long_side, short_side." in capsys.readouterr().out
    assert build_model(weights).config == large


def test_a_run_goes_on_that_knew_fewer_settings(tmp_path):
    write_shard(tmp_path / "data", 0, [make_sample(seed) for seed in range(4)])
    train(OpenRecipe(QUICK, TINY, tmp_path / "data"), tmp_path / "run", Limits(steps=2))
    for manifest in (tmp_path / "run" / "checkpoints").glob("*/manifest.json"):
        stated = json.loads(manifest.read_text())
        del stated["model"]["identity_dim"]
        manifest.write_text(json.dumps(stated))
    assert train(OpenRecipe(QUICK, TINY, tmp_path / "data"), tmp_path / "run", Limits(steps=3)).is_file()
    with pytest.raises(CheckpointError, match=r"other settings: identity_dim\."):
        other = replace(TINY, identity_dim=3)
        train(OpenRecipe(QUICK, other, tmp_path / "data"), tmp_path / "run", Limits(steps=4))


def test_every_step_draws_how_large_pictures_are_shown_the_same_in_all_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(targets_module, "SHAPES", ((1.0, (1.5, 1.5)),))
    write_shard(tmp_path, 0, [make_sample(seed) for seed in range(4)])
    large = TINY.at_scale(4)
    sizes = []
    for rank in (0, 1):
        recipe = OpenRecipe(replace(QUICK, scales=(0.5, 1.0)), large, tmp_path)
        randomness = Randomness(np.random.default_rng(rank), torch.Generator().manual_seed(rank))
        sizes.append([recipe.draw(step, randomness).images.shape[1] for step in range(12)])
    assert sizes[0] == sizes[1]
    assert min(sizes[0]) >= 128 and max(sizes[0]) <= 256 and len(set(sizes[0])) > 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_may_begin_with_more_and_smaller_pictures(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(targets_module, "SHAPES", ((1.0, (1.5, 1.5)),))
    write_shard(tmp_path / "data", 0, [make_sample(seed) for seed in range(4)])
    small = SmallPictures(share=0.5, batch=3, scales=(0.5, 0.5))
    config = replace(QUICK, scales=(1.0, 1.0), small=small, loader_workers=workers)
    recipe = OpenRecipe(config, TINY.at_scale(4), tmp_path / "data")
    randomness = Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0))
    shapes = [tuple(recipe.draw(0, randomness).images.shape)]
    shapes += [tuple(recipe.draw(step, randomness, 0.5).images.shape) for step in range(1, 12)]
    assert shapes[0][:2] == (3, 128) and shapes[-1][:2] == (2, 256)
    assert sorted(shapes, reverse=True) == shapes, "once large, they stay large"


def test_batches_that_other_processes_prepare_are_like_those_prepared_here(tmp_path, monkeypatch):
    monkeypatch.setattr(targets_module, "SHAPES", ((1.0, (1.5, 1.5)),))
    write_shard(tmp_path, 0, [make_sample(seed) for seed in range(4)])
    sizes, drawn = [], []
    for workers, on_device in ((0, False), (2, False), (2, True)):
        config = replace(QUICK, scales=(0.5, 1.0), loader_workers=workers, draw_on_device=on_device)
        recipe = OpenRecipe(config, TINY.at_scale(4), tmp_path)
        randomness = Randomness(np.random.default_rng(3 + on_device), torch.Generator().manual_seed(3))
        batches = [recipe.draw(step, randomness) for step in range(5, 11)]
        images = [batch.images for batch in batches]
        sizes.append([image.placed.canvas[::-1] if on_device else tuple(image.shape[1:3]) for image in images])
        drawn += [(image.mix if on_device else image).numpy().tobytes() for image in images]
        loss, _ = recipe(batches[0])
        assert loss.isfinite()
    assert sizes[0] == sizes[1] == sizes[2], "the steps come in order"
    assert len(set(drawn)) == len(drawn), "and no process draws what another does"


def test_the_best_threshold_on_a_hand_worked_case():
    scores, hits = np.array([0.9, 0.2, 0.6, 0.5]), np.array([True, False, True, False])
    assert best_threshold(scores, hits, 2) == pytest.approx((0.6, 1.0))
    # One more person found for two more false ones is not worth it.
    scores = np.concatenate([np.linspace(1, 0.5, 200), [0.4, 0.4, 0.3]])
    hits = np.concatenate([np.ones(200, bool), [False, False, True]])
    threshold, f1 = best_threshold(scores, hits, 201)
    assert 0.5 <= threshold < 0.52 and f1 == pytest.approx(0.995, abs=0.003)


def test_the_loss_is_computed_where_the_batch_is(tmp_path):
    """On a GPU everything has to be there; here 'meta', which computes nothing, stands for the other device."""
    write_shard(tmp_path, 0, [make_sample(seed) for seed in range(2)])
    recipe = OpenRecipe(QUICK, TINY, tmp_path)
    batch = recipe.draw(0, Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0)))
    with torch.device("meta"):
        total, _ = recipe(batch)
    assert torch.isfinite(total)


def test_recoloured_pictures_stay_pictures_and_differ():
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    pictures = [recoloured(picture, draw_colours(np.random.default_rng(k))) for k in range(8)]
    assert all(image.dtype == np.uint8 and image.shape == picture.shape for image in pictures)
    assert min(np.abs(image.astype(float) - picture).mean() for image in pictures) > 1


@pytest.mark.parametrize("shape", [16 / 9, 9 / 16], ids=["side by side", "one above the other"])
def test_pictures_drawn_where_the_network_is_are_those_drawn_on_the_processor(shape, monkeypatch):
    monkeypatch.setattr(targets_module, "SHAPES", ((1.0, (shape, shape)),))
    sizes = [(192, 128), (192, 128), (160, 144), (192, 128), (192, 128)]
    samples = [make_sample(seed, width=w, height=h) for seed, (w, h) in enumerate(sizes)]
    smooth = [replace(s, image=cv2.GaussianBlur(s.image, (0, 0), 3)) for s in samples]
    pictures, config, model = [tuple(smooth[:2]), tuple(smooth[2:4]), (smooth[4],)], QUICK, TINY.at_scale(3)
    expected, targets = batch(pictures, config, model, np.random.default_rng(5))
    undrawn, same_targets = undrawn_batch(pictures, config, model, np.random.default_rng(5))
    found = drawn_where_they_are(undrawn)
    assert torch.equal(targets.boxes, same_targets.boxes) and found.shape == expected.shape
    error = (found - expected.float()).abs()
    assert error.mean() < 1 and (error > 8).float().mean() < 0.01, "but at the border between two samples"
    assert expected.float().std() > 10


def test_the_side_of_limbs_is_asked_where_limbs_are_seen():
    _, targets = batch([(make_sample(),)], QUICK, TINY, np.random.default_rng(0), augment=False)
    # One limb each on the left and right of the picture, far from each other; the others are out of sight.
    points = torch.full_like(targets.keypoints, 0.5)
    points[0, 0, 5], points[0, 0, 6] = torch.tensor([0.25, 0.5]), torch.tensor([0.75, 0.5])
    weight = torch.zeros_like(targets.keypoints_weight)
    weight[0, 0, 5:7] = 1
    targets = replace(targets, keypoints=points, keypoints_weight=weight)
    logits = torch.zeros(1, 21, 8, 12)
    logits[:, -1, :, :6], logits[:, -1, :, 6:] = 10, -10
    assert side_loss(logits, targets) < 1e-3 and side_loss(-logits, targets) > 5
    assert side_loss(logits * 0, targets) == pytest.approx(np.log(2), rel=1e-4)
    logits[:, :-1] = 50.0
    assert side_loss(logits, targets) < 1e-3
    assert side_loss(logits, replace(targets, keypoints_weight=weight * 0.3)) == 0


def test_in_the_first_steps_backbone_and_encoder_learn_alone(tmp_path):
    write_shard(tmp_path / "data", 0, [make_sample(i) for i in range(4)])
    config = replace(QUICK, dense_steps=2)
    start = OpenRecipe(config, TINY, tmp_path / "data").state_dict()

    def after(steps: int) -> dict[str, torch.Tensor]:
        recipe = OpenRecipe(config, TINY, tmp_path / "data")
        train(recipe, tmp_path / f"run{steps}", Limits(steps=steps))
        return recipe.state_dict()

    def moved(tensors: dict[str, torch.Tensor]) -> set[str]:
        changed = {name for name, value in tensors.items() if not torch.equal(value, start[name])}
        return {name.removeprefix("network.").split(".")[0] for name in changed}

    assert {"backbone", "encoder", "heatmap"} <= moved(after(2)) and not {"decoder", "heads"} & moved(after(2))
    assert {"decoder", "heads"} <= moved(after(3))
    terms = [set(json.loads(line)) for line in (tmp_path / "run3" / "log.jsonl").read_text().splitlines()]
    assert "side" in terms[0] and "keypoints" not in terms[0] and "keypoints" in terms[2]


def test_only_as_many_people_as_pictures_have_are_trained_on():
    _, targets = batch(
        [(make_sample(0, 3),), (make_sample(1, 1),)], QUICK, TINY, np.random.default_rng(0), augment=False
    )
    assert first_people(targets, 10).boxes.shape[1] == 3
    two = first_people(targets, 2)
    assert two.valid.tolist() == [[True, True], [True, False]]
    assert torch.equal(two.keypoints, targets.keypoints[:, :2])
    nobody = replace(targets, valid=targets.valid & False)
    assert first_people(nobody, 10).valid.tolist() == [[False], [False]]
