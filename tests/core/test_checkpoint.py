"""Weights files: names, aliases, refusals, and what is said when they do not fit."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from aios_core.config import AIOS, OPEN, PRESETS, replace
from aios_core.errors import CheckpointError, OutputError
from aios_core.model import checkpoint
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import (
    Checkpoint,
    build_model,
    config_from_json,
    config_to_json,
    load_checkpoint,
    load_weights,
    model_of,
    published_state_dict,
    save_weights,
)
from tests.core.toy_model import TOY, pictures, toy_model

PUBLISHED = json.loads((Path(__file__).parent.parent / "fixtures" / "aios_state_dict.json").read_text())


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A toy model's state dict under every published name."""
    return {name: tensor.clone() for name, tensor in published_state_dict(toy_model()).items()}


def loaded(state_dict: dict[str, torch.Tensor]) -> AiOS:
    model = AiOS(TOY).eval()
    load_weights(model, Checkpoint(Path("weights.pth"), state_dict))
    return model


def assert_equal(a: AiOS, b: AiOS) -> None:
    state = b.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in a.state_dict().items())


def test_the_published_model_has_exactly_the_published_names_and_shapes():
    with torch.device("meta"):
        found = published_state_dict(AiOS(AIOS))
    assert {name: list(tensor.shape) for name, tensor in found.items()} == {
        name: entry["shape"] for name, entry in PUBLISHED.items()
    }


def test_names_of_one_published_tensor_are_one_tensor_here():
    with torch.device("meta"):
        found = published_state_dict(AiOS(AIOS))
    for name, entry in PUBLISHED.items():
        if entry["same_as"]:
            assert found[name] is found[entry["same_as"]], name


def test_weights_survive_the_round_trip(tmp_path):
    model = toy_model()
    save_weights(model, tmp_path / "toy.safetensors", fp16=False, metadata={"licence": "any"})
    back = build_model(tmp_path / "toy.safetensors")
    assert back.config == model.config and not back.training
    assert_equal(model, back)
    assert load_checkpoint(tmp_path / "toy.safetensors").metadata == {"format": "pt", "licence": "any"}


def test_half_precision_halves_the_file_and_keeps_the_predictions(tmp_path):
    model = toy_model()
    full, half = (
        save_weights(model, tmp_path / f"{fp16}.safetensors", fp16=fp16).stat().st_size for fp16 in (False, True)
    )
    assert half < 0.6 * full
    back = build_model(tmp_path / "True.safetensors")
    assert all(p.dtype == torch.float32 for p in back.parameters())
    found, expected = back(*pictures()).proposals.logits, model(*pictures()).proposals.logits
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_configurations_survive_the_round_trip(config):
    assert config_from_json(config_to_json(config), "test") == config


@pytest.mark.parametrize("text", ['{"wings": 2}', '{"backbone": {"wings": 2}}', "[]", "{"])
def test_an_unknown_field_of_the_configuration_is_named(text):
    with pytest.raises(CheckpointError, match=r"wings|not readable"):
        config_from_json(text, "weights.safetensors")


def test_a_configuration_of_another_kind_of_network_is_refused_by_the_file_that_states_it(tmp_path):
    path = tmp_path / "other.safetensors"
    text = json.dumps({**json.loads(config_to_json(TOY)), "wings": 2})
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata={"config": text})
    with pytest.raises(CheckpointError, match="wings"):
        build_model(path)


@pytest.mark.parametrize("wrap", ["model", "ema_model", None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_published_file_is_read_in_all_its_forms(tmp_path, published, wrap, prefix):
    state = {prefix + name: tensor for name, tensor in published.items()}
    state[prefix + "body_model.pose_mean"] = torch.arange(165.0)
    state[prefix + "body_model.v_template"] = torch.zeros(10, 3)
    state[prefix + "backbone.0.body.bn1.num_batches_tracked"] = torch.tensor(3)
    stored = {wrap: state, "args": argparse.Namespace(lr=1e-4), "epoch": 3} if wrap else state
    torch.save(stored, tmp_path / "aios_checkpoint.pth")
    found = load_checkpoint(tmp_path / "aios_checkpoint.pth")
    assert not any("body_model" in name or name.endswith("num_batches_tracked") for name in found.state_dict)
    torch.testing.assert_close(found.pose_mean, torch.arange(165.0).view(55, 3))
    model = AiOS(TOY)
    load_weights(model, found)
    assert_equal(model, toy_model())


def test_the_model_is_preferred_to_its_moving_average(tmp_path, published):
    other = {name: tensor + 1 for name, tensor in published.items()}
    torch.save({"ema_model": other, "model": published}, tmp_path / "both.pth")
    assert_equal(loaded(load_checkpoint(tmp_path / "both.pth").state_dict), toy_model())


@pytest.mark.parametrize("keep", [0, -1])
def test_any_one_name_of_a_tensor_is_enough(published, keep):
    model, chosen = toy_model(), {}
    for key in model.state_dict():
        if not key.endswith("num_batches_tracked"):
            name = checkpoint.published_names(key, TOY)[keep]
            chosen[name] = published[name]
    assert len(chosen) < len(published)
    assert_equal(loaded(chosen), model)


def test_names_that_disagree_are_reported(published):
    name = "transformer.decoder.class_embed.0.weight"
    with pytest.raises(CheckpointError, match=f"1 stored twice with different values .*{name}"):
        loaded({**published, name: published[name] + 1})


def test_what_is_missing_unknown_or_misshapen_is_named_and_nothing_is_loaded(published):
    state = {name: tensor for name, tensor in published.items() if not name.startswith("input_proj")}
    state["tail.weight"] = torch.zeros(1)
    state["transformer.level_embed"] = torch.zeros(3, 7)
    model = AiOS(TOY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, Checkpoint(Path("weights.pth"), state))
    message = str(caught.value)
    assert "16 missing (input_proj.0.0.weight, input_proj.0.0.bias, input_proj.0.1.weight, ...)" in message
    assert "1 unknown (tail.weight)" in message
    assert "1 of the wrong shape (transformer.level_embed (3, 7) instead of (4, 64))" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class Hostile:
    """A pickle that would create a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["model", "args", None])
def test_a_hostile_pickle_is_refused_before_it_runs(tmp_path, published, place):
    trap, path = tmp_path / "it_ran", tmp_path / "hostile.pth"
    hostile = Hostile(trap)
    stored = {"model": published, "args": argparse.Namespace(lr=1), place: hostile} if place else hostile
    torch.save(stored, path)
    with pytest.raises(CheckpointError, match="refused"):
        load_checkpoint(path)
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists(), "the trap must work for this test to mean anything"


def test_a_hostile_thing_inside_the_arguments_is_refused(tmp_path, published):
    torch.save({"model": published, "args": argparse.Namespace(x=Hostile(tmp_path / "it_ran"))}, tmp_path / "h.pth")
    with pytest.raises(CheckpointError, match="refused"):
        load_checkpoint(tmp_path / "h.pth")
    assert not (tmp_path / "it_ran").exists()


def test_what_is_no_weights_file_is_refused_in_one_sentence(tmp_path):
    files = {
        "text.pth": b"hello", "empty.pth": b"", "text.safetensors": b"hello world, this is text", "zip.pth": b"PK\3\4",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"model": published_state_dict(toy_model())}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"model": {}}, tmp_path / "nothing.pth")
    for name in (*files, "cut.pth", "list.pth", "nothing.pth", "absent.pth"):
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_the_open_weights_are_found_by_name(tmp_path, monkeypatch):
    model = toy_model()
    monkeypatch.setattr(checkpoint, "OPEN_WEIGHTS", save_weights(model, tmp_path / "open.safetensors", fp16=False))
    assert_equal(build_model("open"), model)
    monkeypatch.setattr(checkpoint, "OPEN_WEIGHTS", tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="not installed"):
        build_model("open")


def test_the_published_weights_are_the_users_own(tmp_path, monkeypatch):
    monkeypatch.delenv("AIOS_CHECKPOINT", raising=False)
    with pytest.raises(CheckpointError, match="AIOS_CHECKPOINT"):
        build_model("aios")
    path = save_weights(toy_model(), tmp_path / "mine.safetensors", fp16=False)
    monkeypatch.setenv("AIOS_CHECKPOINT", str(path))
    assert_equal(build_model("aios"), toy_model())


def test_weights_that_cannot_be_written_leave_nothing_behind(tmp_path):
    model = toy_model()
    with torch.no_grad():
        model.level_embed[0, 0] = 1e6
    with pytest.raises(CheckpointError, match="level_embed"):
        save_weights(model, tmp_path / "toy.safetensors")
    with pytest.raises(OutputError):
        save_weights(toy_model(), tmp_path / "absent" / "toy.safetensors")
    assert os.listdir(tmp_path) == []


def test_presets_are_told_apart_by_their_sizes():
    assert AIOS.levels == 4 and AIOS.decoder_layers == 6
    assert replace(OPEN, feature_strides=(16, 32)).levels == 3


def test_float32_weights_stay_mapped_and_the_file_is_safe_from_changes(tmp_path):
    path = save_weights(toy_model(), tmp_path / "toy.safetensors", fp16=False)
    torch.save(published_state_dict(toy_model()), tmp_path / "toy.pth")
    for path in (tmp_path / "toy.safetensors", tmp_path / "toy.pth"):
        checkpoint = load_checkpoint(path)
        model = model_of(checkpoint, TOY).eval()
        assert_equal(model, toy_model())
        places = {tensor.data_ptr() for tensor in checkpoint.state_dict.values()}
        assert {tensor.data_ptr() for tensor in model.parameters()} <= places, "a weight was copied"
        before = path.read_bytes()
        with torch.no_grad():
            next(model.parameters()).add_(1)
        assert path.read_bytes() == before
