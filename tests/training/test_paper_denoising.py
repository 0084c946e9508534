"""The published recipe's noised copies: who is copied, who sees whom, and how far boxes move."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.model.denoising import DenoisingQueries
from tests.training.paper_pictures import picture_of
from training.paper.config import PAPER
from training.paper.denoising import noised, noised_copies

FIXTURE = Path(__file__).parent.parent / "fixtures" / "aios_denoising.npz"


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    with np.load(FIXTURE) as stored:
        return dict(stored)


def copies_of(boxes: torch.Tensor, **changes) -> tuple[DenoisingQueries, torch.Tensor]:
    return noised_copies([picture_of(boxes)], replace(PAPER, **changes), torch.Generator().manual_seed(0))


def test_people_are_repeated_in_the_published_order(published):
    _, clean = copies_of(torch.from_numpy(published["dn.gt_boxes"]))
    expected = torch.from_numpy(published["dn.clean_box"]).float()
    torch.testing.assert_close(clean[:, :99], expected[:, :99])
    assert (clean[0, 99] == clean[0, :3]).all(-1).any(), "one of the three, drawn at random"


@pytest.mark.parametrize("mask", ["dn.mask1", "dn.mask2", "dn.mask3"])
def test_copies_see_their_own_round_and_all_queries_as_published(published, mask):
    copies, _ = copies_of(torch.from_numpy(published["dn.gt_boxes"]))
    blocked = np.unpackbits(published[f"{mask}.packed_rows_0_200"], axis=1).astype(bool)
    same_group = copies.group[0][:, None] == copies.group[0]
    assert np.array_equal(blocked[:100, :100], ~same_group.numpy())
    width = published[f"{mask}.shape"][-1]
    assert not blocked[:100, 100:width].any(), "copies see every query"
    assert blocked[100:200, :100].all(), "no query sees a copy"


def test_the_published_noise_lies_within_ours(published):
    clean = torch.from_numpy(published["dn.clean_box"])
    low, high = (noised_towards(clean, end) for end in (-1.0, 1.0))
    found = torch.from_numpy(published["dn.noised_box_logit"]).sigmoid()
    assert ((found >= low.clamp(0.0009, 1) - 1e-6) & (found <= high.clamp(0, 0.9991) + 1e-6)).all()
    drawn = torch.stack([noised(clean, 0.4, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert ((drawn >= low.clamp(0, 1)) & (drawn <= high.clamp(0, 1))).all()
    spread = (drawn.amax(0) - drawn.amin(0)) / (high.clamp(0, 1) - low.clamp(0, 1))
    assert spread.min() > 0.9, "all of the range is used"


def noised_towards(boxes: torch.Tensor, end: float) -> torch.Tensor:
    return boxes + end * 0.4 * torch.cat([boxes[..., 2:] / 2, boxes[..., 2:]], -1)


def test_half_of_the_labels_are_replaced():
    copies, _ = copies_of(torch.rand(4, 4), copies=10000)
    assert 0.47 < (copies.labels != 1).float().mean() < 0.53
    assert copies.labels.max() == 99


def test_nobody_and_more_people_than_copies_are_copied_too():
    copies, clean = copies_of(torch.zeros(0, 4), label_noise=0.0)
    assert (copies.labels == 2).all() and (copies.group == 0).all() and clean.std() > 0.2
    copies, clean = copies_of(torch.rand(130, 4))
    assert clean.shape == (1, 100, 4) and (copies.group == 0).all()
