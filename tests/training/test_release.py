"""A run's weights become the shipped ones, with the threshold that they are used at."""

import shutil

import pytest
import torch

from aios_core.config import OPEN
from aios_core.model.checkpoint import OPEN_WEIGHTS, load_checkpoint, model_of, save_weights
from aios_core.pipeline.capture import iterate_people
from benchmarks.clips import PLAZA
from tests.training.test_training import make_sample
from training import release
from training.data.sample import write_shard
from training.identity import without_identity


@pytest.fixture
def released(tmp_path, monkeypatch, capsys):
    """What a release of the shipped weights says, and the file: with pictures without people, or without them."""
    checkpoint = without_identity(load_checkpoint(OPEN_WEIGHTS))
    save_weights(model_of(checkpoint, checkpoint.config), tmp_path / "weights.safetensors")
    write_shard(tmp_path / "data", 0, [make_sample(seed) for seed in range(2)])
    path = tmp_path / "released.safetensors"

    def run(*arguments):
        paths = ["--run", tmp_path, "--data", tmp_path / "data", "--output", path]
        monkeypatch.setattr("sys.argv", ["release", *map(str, paths), *map(str, arguments)])
        return release.main(), capsys.readouterr(), path

    return run


def test_the_file_says_what_it_needs_to_be_used(released):
    status, said, path = released()
    checkpoint = load_checkpoint(path)
    threshold = float(checkpoint.metadata["score_threshold"])
    assert status == 0 and f"threshold {threshold:.2f}" in said.out and 0 <= threshold < 1
    assert checkpoint.config == OPEN and "GPL-3.0-or-later" in checkpoint.metadata["license"]


def test_the_threshold_is_over_whatever_is_seen_in_pictures_without_people(released, tmp_path):
    """One of which has somebody in it here, so that there is something to see."""
    empty = tmp_path / "empty"
    empty.mkdir()
    portrait = shutil.copy(PLAZA.with_name("astronaut.jpg"), empty)
    [(_, seen)] = iterate_people(portrait)
    status, _, path = released("--empty", empty)
    threshold = float(load_checkpoint(path).metadata["score_threshold"])
    assert status == 0 and seen.scores.max() < threshold <= seen.scores.max() + 0.011


def test_the_mean_with_other_weights_is_released(released, tmp_path):
    checkpoint = without_identity(load_checkpoint(OPEN_WEIGHTS))
    earlier = model_of(checkpoint, checkpoint.config)
    with torch.no_grad():
        for parameter in earlier.parameters():
            parameter.zero_()
    save_weights(earlier, tmp_path / "earlier.safetensors")
    mean_with = "--mean-with", tmp_path / "earlier.safetensors", OPEN_WEIGHTS
    status, said, path = released(*mean_with, "--threshold", 0.4)
    weight = "transformer.level_embed"
    assert status == 0 and "threshold 0.40" in said.out
    found, whole = (state[weight].float() for state in (load_checkpoint(path).state_dict, checkpoint.state_dict))
    assert whole.any() and torch.allclose(found, whole * 2 / 3, atol=1e-3)
    status, said, _ = released("--mean-with", tmp_path / "nothing.safetensors")
    assert status == 2 and "No such weights file" in said.err


def test_a_folder_without_pictures_is_said_and_nothing_is_written(released, tmp_path):
    status, said, path = released("--empty", tmp_path / "nothing")
    assert status == 2 and "There are no pictures in" in said.err and not path.exists()


def test_without_held_out_renders_the_threshold_is_to_be_given(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["release", "--run", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        release.main()
    assert ended.value.code == 2 and "or --threshold itself" in capsys.readouterr().err
