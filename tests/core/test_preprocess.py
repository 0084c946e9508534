"""Pictures on their way into the network, against the published model's and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.config import AIOS, OPEN
from aios_core.model.framing import framing, resize_size
from aios_core.model.preprocess import MEAN, STD, pad_batch, preprocess, preprocess_batch, resize
from tests.aios_synth import picture

FIXTURE = Path(__file__).parent.parent / "fixtures" / "aios_preprocess.npz"


@pytest.mark.parametrize("name", ["p0", "p1", "p2"])
def test_pictures_are_prepared_as_the_published_model_does_it(name):
    with np.load(FIXTURE) as stored:
        expected = {key.removeprefix(f"{name}."): stored[key] for key in stored.files if key.startswith(name)}
    found = preprocess(picture(f"pre.{name}", *expected["hw_in"]), AIOS).numpy()
    assert found.shape[1:] == tuple(expected["hw_out"])
    np.testing.assert_allclose(found[:, ::23, ::29], expected["norm.slice"], atol=2e-5)
    np.testing.assert_allclose(found[:, :6, :6], expected["norm.corner"], atol=2e-5)
    np.testing.assert_allclose(found.mean((1, 2)), expected["norm.mean"], atol=2e-4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (1333, 750)), ((1080, 1920), (750, 1333)), ((640, 480), (1066, 800)), ((800, 800), (800, 800)),
        ((1000, 800), (1000, 800)), ((170, 33), (1334, 259)), ((5000, 1), (5000, 1)), ((1, 1), (800, 800)),
    ],
)  # fmt: skip
def test_the_shorter_side_becomes_800_unless_the_longer_would_pass_1333(size, expected):
    assert resize_size(*size, 800, 1333) == expected


def test_a_picture_of_the_right_size_is_only_normalised():
    image = np.random.default_rng(0).integers(0, 256, (800, 900, 3), np.uint8)
    expected = ((image - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(preprocess(image, AIOS).numpy(), expected, atol=1e-6)


def test_enlarging_repeats_every_second_pixel_exactly_and_fades_beyond_the_last():
    image = np.random.default_rng(0).integers(1, 256, (5, 7, 3), np.uint8)
    large = resize(image, 14, 10, antialias=False)
    np.testing.assert_allclose(large[::2, ::2], image, atol=1e-4)
    np.testing.assert_allclose(large[0, -1], image[0, -1] / 2, atol=1e-4)


def test_averaging_keeps_a_fine_pattern_grey_where_sampling_does_not():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::4] = 255
    averaged, sampled = (resize(stripes, 100, 100, antialias) for antialias in (True, False))
    assert np.ptp(averaged) < 2 and sampled.min() == 255
    assert OPEN.antialias and not AIOS.antialias


@pytest.mark.parametrize("config", [AIOS, OPEN], ids=["aios", "open"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (700, 3, 3)])
def test_the_strangest_pictures_come_through(config, shape):
    found = preprocess(np.full(shape, 128, np.uint8), config)
    assert found.dtype == torch.float32 and found.isfinite().all() and min(found.shape) >= 1


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (640, 480), (100, 99), (31, 2000)])
def test_pictures_of_every_shape_lie_undistorted_in_the_middle_of_a_canvas_of_their_shape(size):
    placed = framing(*size, OPEN)
    image = preprocess(np.full((size[1], size[0], 3), 255, np.uint8), OPEN)
    width, height = placed.canvas
    assert image.shape == (3, height, width) and width % 32 == height % 32 == 0
    assert 0.65 < width * height / (OPEN.long_side * OPEN.short_side) < 1.15, "all cost about the same"
    rows, columns = np.nonzero(image[0].numpy() > 1)
    assert (columns.min(), rows.min()) == placed.corner
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == placed.resized
    left, above = columns.min(), rows.min()
    assert 0 <= width - 1 - columns.max() - left <= 1 and 0 <= height - 1 - rows.max() - above <= 1
    assert (image == 0).sum() == 3 * (width * height - len(rows)), "what is around it is the mean of all pictures"
    assert max(placed.resized[0] / width, placed.resized[1] / height) == 1
    assert len(rows) / (width * height) > (0.85 if max(size) < 3 * min(size) else 0.65), "little of it is grey"
    wanted = np.array(size) * min(width / size[0], height / size[1])
    assert np.abs(placed.resized - wanted).max() <= 0.5


def test_a_bigger_canvas_shows_bigger_pictures():
    small = replace(OPEN, short_side=288, long_side=480)
    assert framing(1280, 720, small).resized == (480, 270)
    assert framing(1280, 720, small.at_scale(2)).resized == (967, 544)


def test_a_picture_turned_upright_lies_in_the_canvas_turned_upright():
    lying, upright = framing(1280, 720, OPEN), framing(720, 1280, OPEN)
    assert upright.canvas == lying.canvas[::-1] and upright.resized == lying.resized[::-1]


def test_frames_in_a_batch_are_prepared_as_alone():
    frames = np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3), np.uint8)
    placed = framing(160, 90, OPEN)
    shrunk = np.stack([resize(frame, *placed.resized, antialias=True) for frame in frames])
    batch = preprocess_batch(torch.from_numpy(shrunk), placed)
    for frame, image in zip(frames, batch, strict=True):
        torch.testing.assert_close(image, preprocess(frame, OPEN))


def test_a_batch_is_padded_right_and_below():
    a, b = torch.ones(3, 4, 6), torch.ones(3, 5, 2)
    images, mask = pad_batch([a, b])
    assert images.shape == (2, 3, 5, 6) and mask.dtype == torch.bool
    assert images[0, 0].sum() == 24 and images[1, 0].sum() == 10
    assert torch.equal(mask, images[:, 0] == 0)
    alone, no_padding = pad_batch([a])
    assert torch.equal(alone[0], a) and not no_padding.any()
