"""A network looks at pictures of other sizes than its own, and what it sees stays where it is."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from aios_core.config import CaptureConfig
from aios_core.model.canvas import Canvas
from aios_core.model.checkpoint import config_from_json, save_weights
from aios_core.model.encoder import describe_levels
from aios_core.model.parts import LAYOUTS
from aios_core.pipeline.capture import iterate_people
from tests.core.toy_model import TOY, pictures, replace, toy_model

PLAZA = Path(__file__).parents[2] / "examples" / "footage" / "plaza.mp4"


def test_in_the_size_of_its_canvas_a_network_says_what_one_without_it_says():
    plain, own, other = (toy_model(canvas=canvas) for canvas in (None, (96, 64), (192, 64)))
    with torch.no_grad():
        found = [model(*pictures()).final for model in (plain, own, other)]
    for name, value in vars(found[0]).items():
        torch.testing.assert_close(value, getattr(found[1], name), msg=name)
    assert not torch.allclose(found[0].boxes, found[2].boxes)


@pytest.mark.parametrize("canvas", [(192, 80), (64, 96)])
def test_small_moves_are_as_many_pixels_in_pictures_of_every_size(canvas):
    heads = toy_model(canvas=(96, 64)).heads
    heads.bbox_embed[0].layers[-1].bias.data.mul_(0.01)
    tokens = 0.01 * torch.randn(1, 3, 1, 64, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[0.5, 0.5], [0.3, 0.6], [0.8, 0.4]])
    sizes = torch.tensor([0.2, 0.3]).expand(3, 2)
    moves = []
    for size in (torch.tensor([[96.0, 64.0]]), torch.tensor([canvas], dtype=torch.float32)):
        boxes = torch.cat([places, sizes * torch.tensor([96.0, 64.0]) / size], -1)[None, :, None]
        with torch.no_grad():
            moved = heads.refine(tokens, boxes, 0, LAYOUTS[0], Canvas(size, size / torch.tensor([96.0, 64.0])))
        moves.append(((moved - boxes) * size.repeat(1, 2))[..., :2])
    torch.testing.assert_close(moves[0], moves[1], rtol=0.05, atol=1e-3)
    assert moves[0].abs().max() > 0.01


def test_a_place_is_encoded_alike_in_pictures_of_every_size():
    config = replace(TOY, canvas=(96, 64))
    small, large = (
        describe_levels(((height // 8, width // 8),), (8,), torch.zeros(1, height, width, dtype=torch.bool), config)
        for height, width in ((64, 96), (128, 192))
    )
    inside = large.position.unflatten(1, (16, 24))[:, :8, :12].flatten(1, 2)
    torch.testing.assert_close(inside, small.position)


def test_weights_of_the_time_of_one_canvas_are_read_as_of_it(tmp_path):
    path = save_weights(toy_model(letterbox=True, canvas=(96, 64)), tmp_path / "toy.safetensors")
    with safe_open(path, "pt") as file:
        stored = json.loads(file.metadata()["config"])
    assert stored.pop("canvas") == [96, 64]
    assert config_from_json(json.dumps(stored), path).canvas == (96, 64)


@pytest.mark.parametrize("scale", [0.6, 0.8])
def test_the_shipped_network_finds_the_same_joints_in_smaller_pictures(scale):
    frames = []
    for factor in (1.0, scale):
        people = (p for _, p in islice(iterate_people(PLAZA, CaptureConfig(threshold=0.2, scale=factor)), 6))
        frames.append(list(people))
    apart = []
    for usual, other in zip(*frames, strict=True):
        for box, points in zip(usual.boxes_xyxy_px, usual.keypoints_px, strict=True):
            if len(other):
                error = np.linalg.norm(other.keypoints_px - points, axis=-1)
                apart.append(np.median(error, axis=1).min() / (box[2:] - box[:2]).max())
    assert len(apart) >= 12 and np.median(apart) < 0.03, apart
