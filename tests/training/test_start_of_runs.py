"""Where a run of the published recipe starts, its learning rates, settings, and mistakes on its command line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.multiprocessing

from aios_core.errors import CheckpointError
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import save_weights
from tests.training.paper_pictures import SMALL, MadeUpPictures, recipe
from training.initial_weights import load_all, load_what_fits
from training.paper.config import PAPER
from training.recipe import rate_factor
from training.settings import SettingError, with_settings
from training.train import main


def test_weights_fit_in_full_or_are_refused_and_parts_of_them_are_taken_on_request(tmp_path):
    source = AiOS(SMALL)
    path = save_weights(source, tmp_path / "all.safetensors", fp16=False)
    network = AiOS(SMALL)
    load_all(network, path)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), network.parameters(), strict=True))
    other = AiOS(replace(SMALL, mlp_dim=24))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_all(other, path)
    with pytest.raises(CheckpointError, match="canvas of None"):
        load_all(AiOS(replace(SMALL, canvas=(640, 384))), path)
    told = load_what_fits(other, path)
    assert told.endswith("all or some of heads start anew.")
    assert torch.equal(other.label_enc.weight, source.label_enc.weight)


def test_a_network_of_one_class_starts_from_the_persons_of_two(tmp_path):
    source, network = AiOS(replace(SMALL, classes=2)), AiOS(replace(SMALL, classes=1))
    with torch.no_grad():
        source.heads.class_embed[0].weight.normal_()
    load_all(network, save_weights(source, tmp_path / "two.safetensors", fp16=False))
    assert torch.equal(network.heads.class_embed[0].weight, source.heads.class_embed[0].weight[1:])
    assert torch.equal(network.backbone.conv1.weight, source.backbone.conv1.weight)


def test_a_resnet_of_torchvisions_names_becomes_the_backbone(tmp_path):
    source, network = AiOS(SMALL), AiOS(SMALL)
    torch.save(source.backbone.state_dict() | {"fc.weight": torch.zeros(3, 3)}, tmp_path / "resnet.pth")
    load_what_fits(network, tmp_path / "resnet.pth")
    assert torch.equal(network.backbone.layer3[0].conv1.weight, source.backbone.layer3[0].conv1.weight)
    assert torch.equal(network.backbone.bn1.running_var, source.backbone.bn1.running_var)
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="Nothing in"):
        load_what_fits(network, tmp_path / "other.pth")


def test_the_published_start_is_kept():
    """SPEC section 13.1, with rotations that start as no rotation."""
    network = recipe().network
    heads = network.heads
    assert heads.class_embed[0].bias.tolist() == pytest.approx([-np.log(99)] * 2)
    for name in ("bbox_embed", "pose_embed", "bbox_hand_hw_embed", "pose_face_embed"):
        assert not any(head.layers[-1].weight.any() or head.layers[-1].bias.any() for head in getattr(heads, name))
    assert all(getattr(heads, name).layers[-1].weight.any() for name in ("pose_hw_embed", "pose_hand_hw_embed"))
    assert heads.smpl_pose_embed[0].layers[-1].bias.tolist() == [1, 0, 0, 1, 0, 0] * 22
    assert 0.9 < network.level_embed.std() < 1.1
    attention = network.decoder.layers[0].cross_attn
    assert not attention.attention_weights.weight.any() and not attention.sampling_offsets.weight.any()
    assert attention.sampling_offsets.bias.view(4, 4, 2, 2)[0, 0].tolist() == [[1, 0], [2, 0]]
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert frozen == ["backbone.conv1.weight"]


def test_learning_rates_are_the_published_ones_and_may_differ_by_layer():
    own = recipe(replace(PAPER, rate_factors=(("backbone.layer1", 0.5), ("backbone.layer1.0", 0.1))))
    rates = {p: group["lr"] for group in own.optimizer().param_groups for p in group["params"]}
    backbone = own.network.backbone
    assert rates[backbone.layer2[0].conv1.weight] == 1e-5
    assert rates[backbone.layer1[0].conv1.weight] == pytest.approx(1e-6)
    assert rates[own.network.label_enc.weight] == 1e-4
    assert {group["weight_decay"] for group in own.optimizer().param_groups} == {1e-4}
    assert rate_factor("decoder.norm", own.config.rate_factors) == 1
    steps_of_epoch = len(MadeUpPictures()) // PAPER.batch
    rates = [own.rate(epoch * steps_of_epoch, 0.0) for epoch in (0, 29, 30, 59, 60, 199)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_settings_reach_every_depth_and_wrong_ones_are_explained():
    changed = with_settings(
        PAPER, ["batch=4", "weights.pose.face=1", "milestones=[20,40]", 'rate_factors=[["backbone",0.1]]']
    )
    assert (changed.batch, changed.weights.pose.face, changed.milestones) == (4, 1.0, (20, 40))
    assert changed.rate_factors == (("backbone", 0.1),) and changed.costs == PAPER.costs
    for wrong, sentence in (
        ("batch", "NAME=VALUE"), ("batches=2", "There is no setting 'batches'"), ("batch=two", "no value of this kind"),
        ("weights=3", "has settings of its own"), ("batch.x=3", "has no settings of its own"),
        ("batch=2.5", "no value of this kind"), ("bfloat16=1", "no value of this kind"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=sentence):
            with_settings(PAPER, [wrong])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--preset=paper"], "give --body SMPLX_NEUTRAL.npz"),
        (["--preset=paper", "--set=model.body_family=open"], "No AGORA: there is no train"),
        (["--preset=open", "--steps=1", "--data=nowhere"], "No such folder of shards: nowhere"),
        (["--preset=open"], "How long is the run"),
        (["--preset=open", "--steps=1", "--init=nowhere.pth"], "No such weights file: nowhere.pth"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_leaves_nothing(tmp_path, capsys, arguments, sentence):
    assert main([f"--data={tmp_path}", f"--out={tmp_path / 'run'}", "--device=cpu", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
    assert not (tmp_path / "run").exists()
