"""A network looks at another canvas than its own, and what it sees stays where it is in the picture."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.config import CaptureConfig
from aios_core.model.canvas import HEADS, for_canvas, on_canvas
from aios_core.model.checkpoint import load_checkpoint, save_weights
from aios_core.model.parts import LAYOUTS
from aios_core.pipeline.capture import iterate_people
from tests.core.toy_model import TOY, replace, toy_model

PLAZA = Path(__file__).parents[2] / "examples" / "footage" / "plaza.mp4"


def test_there_and_back_are_the_same_weights_and_nothing_else_changes():
    weights = toy_model().state_dict()
    there = for_canvas(weights, (96, 64), (144, 80))
    changed = {name.split(".")[1] for name in weights if not torch.equal(weights[name], there[name])}
    assert changed == HEADS
    back = for_canvas(there, (144, 80), (96, 64))
    for name, tensor in weights.items():
        torch.testing.assert_close(back[name], tensor)


def test_small_moves_are_as_many_pixels_on_every_canvas():
    model = toy_model()
    wider = toy_model()
    wider.load_state_dict(for_canvas(model.state_dict(), (96, 64), (192, 80)))
    tokens = 0.01 * torch.randn(1, 3, 1, 64, generator=torch.Generator().manual_seed(0))
    for network in (model, wider):
        network.heads.bbox_embed[0].layers[-1].bias.data.mul_(0.01)
    places = torch.tensor([[0.5, 0.5], [0.3, 0.6], [0.8, 0.4]])
    sizes = torch.tensor([0.2, 0.3]).expand(3, 2)
    moves = []
    for network, canvas in ((model, (96, 64)), (wider, (192, 80))):
        size = torch.tensor(canvas, dtype=torch.float32)
        boxes = torch.cat([places, sizes * torch.tensor([96.0, 64.0]) / size], -1)[None, :, None]
        with torch.no_grad():
            moved = network.heads.refine(tokens, boxes, 0, LAYOUTS[0])
        moves.append(((moved - boxes) * size.repeat(2))[..., :2])
    torch.testing.assert_close(moves[0], moves[1], rtol=0.05, atol=1e-3)
    assert moves[0].abs().max() > 0.01


def test_a_weights_file_is_put_on_the_canvas_of_a_configuration(tmp_path):
    model = toy_model(letterbox=True)
    checkpoint = load_checkpoint(save_weights(model, tmp_path / "toy.safetensors", fp16=True))
    moved = on_canvas(checkpoint, replace(TOY, long_side=144, short_side=96, letterbox=True))
    assert (moved.config.long_side, moved.config.short_side, moved.config.queries) == (144, 96, TOY.queries)
    name = "transformer.enc_out_bbox_embed.layers.2.bias"
    expected = checkpoint.state_dict[name].float()
    expected = torch.cat([expected[:2] / 1.5, expected[2:] - np.log(1.5)])
    torch.testing.assert_close(moved.state_dict[name].float(), expected)


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
