"""Muon changes a matrix equally in all directions; what it does not train, AdamW does as ever."""

import pytest
import torch
from torch import nn

from aios_core.config import OPEN as MODEL
from training.config import OPEN
from training.muon import RMS, MuonAdamW, orthogonalised
from training.open_recipe import OpenRecipe


def group(parameters, muon, rate=0.01, decay=0.0):
    return {"params": parameters, "lr": rate, "weight_decay": decay, "muon": muon}


@pytest.mark.parametrize("shape", [(8, 8), (40, 8), (8, 40)])
def test_all_singular_values_come_near_one_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    turned = orthogonalised(matrix)
    assert turned.shape == matrix.shape
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    between = u.T @ turned @ v.T
    assert torch.allclose(between, torch.diag(between.diagonal()), atol=1e-3) and (between.diagonal() > 0).all()


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_step_is_as_large_as_the_rate_says_however_large_the_gradient(bfloat16):
    for size in (1e-4, 1e4):
        filters = nn.Parameter(torch.zeros(32, 16, 3, 3))
        filters.grad = torch.randn(filters.shape, generator=torch.Generator().manual_seed(1)) * size
        MuonAdamW([group([filters], muon=True)], bfloat16).step()
        assert filters.dtype == torch.float32 and (filters * filters.grad).sum() < 0
        assert filters.detach().square().mean().sqrt() == pytest.approx(0.01 * RMS, rel=0.2)


def test_it_finds_a_matrix_whose_directions_differ_thirtyfold():
    generator = torch.Generator().manual_seed(2)
    scales, wanted = torch.logspace(0, -1.5, 16), torch.randn(16, 16, generator=generator)
    found = nn.Parameter(torch.zeros(16, 16))
    optimizer = MuonAdamW([group([found], muon=True)])
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / 400)
        optimizer.zero_grad()
        ((found - wanted) * scales).square().sum().backward()
        optimizer.step()
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_groups_without_muon_are_adamws():
    ours, theirs = (nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    matrix = nn.Parameter(torch.ones(16, 16))
    mixed = MuonAdamW([group([ours], muon=False, decay=0.1), group([matrix], muon=True)])
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        ours.grad = torch.randn(4, 4, generator=generator)
        theirs.grad = ours.grad.clone()
        matrix.grad = torch.randn(16, 16, generator=generator)
        mixed.step()
        adamw.step()
    assert torch.equal(ours, theirs) and not torch.equal(matrix, torch.ones(16, 16))


def test_a_parameter_without_a_gradient_stays():
    still = nn.Parameter(torch.ones(16, 16))
    MuonAdamW([group([still], muon=True, decay=0.5)]).step()
    assert torch.equal(still, torch.ones(16, 16))


def test_the_open_recipe_gives_muon_what_lies_inside_the_network(tmp_path):
    recipe = OpenRecipe(OPEN, MODEL, tmp_path)
    by_muon = {p for group in recipe.optimizer().param_groups if group["muon"] for p in group["params"]}
    network = recipe.network
    inside = (network.backbone.layer3[0].conv1.weight, network.encoder.layers[0].linear1.weight)
    outside = (
        network.query_content.weight, network.decoder.tables["keypoint_embed"].weight, network.backbone.conv1.bias,
        network.heads.class_embed[0].weight, network.encoder.layers[0].norm1.weight,
        network.encoder.layers[0].self_attn.sampling_offsets.weight,
    )  # fmt: skip
    assert by_muon.issuperset(inside) and by_muon.isdisjoint(p for p in outside if p is not None)
