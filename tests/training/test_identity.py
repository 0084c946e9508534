"""A layer that tells people apart is fitted to what a finished network says of known people."""

import shutil
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch

from aios_core.errors import FootageError
from aios_core.media import open_footage
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import OPEN_WEIGHTS, build_model, load_checkpoint, model_of, save_weights
from aios_core.pipeline.network import Network
from aios_core.pipeline.people import unit_length
from benchmarks.clips import PLAZA
from tests.core.toy_model import pictures, toy_model
from training import identity
from training.data.synthetic.video import encode
from training.identity import Sights, alikeness, fit, sights_in, with_identity, without_identity
from training.initial_weights import load_all


def sights(people=60, each=6, own=1.0, seed=0):
    """Tokens of 20 numbers: people differ in the last five, how they stand is in the first five, three times as
    large."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(people), each)
    tokens = np.ones((len(numbers), 20)) + rng.normal(0, 0.1, (len(numbers), 20))
    tokens[:, -5:] += own * rng.normal(0, 1, (people, 5))[numbers]
    tokens[:, :5] += rng.normal(0, 3, (len(numbers), 5))
    return Sights(tokens, numbers, numbers // 3)


def sights_of_size(size):
    """Twenty people's, at random."""
    return Sights(np.random.default_rng(0).normal(size=(60, size)), np.arange(60) // 3, np.zeros(60, int))


def test_behind_the_layer_people_are_told_apart_who_were_not_before():
    layer, others = fit(sights(), 5), sights(seed=1)
    before, behind = alikeness(others), alikeness(replace(others, tokens=layer(others.tokens)))
    assert before.told_apart < 0.7
    assert behind.told_apart > 0.98 and behind.own > 0.9 and abs(behind.others) < 0.1
    assert before.error_directions == pytest.approx(5, abs=0.5) and 4 < behind.own_directions <= 5
    assert "144 sights of 24 people" in identity.judged(sights())


def test_where_people_do_not_differ_nothing_is_told():
    told = alikeness(replace(sights(own=0.0, seed=1), tokens=fit(sights(own=0.0), 5)(sights(own=0.0, seed=1).tokens)))
    assert told.told_apart == pytest.approx(0.5, abs=0.05)


def test_the_layer_stands_behind_the_networks_tokens_and_changes_nothing_else():
    model = toy_model()
    layer = fit(sights_of_size(model.config.hidden_dim), 7)
    with torch.inference_mode():
        plain, reading = model(*pictures()).final, with_identity(model, layer).eval()(*pictures()).final
    expected = layer(unit_length(plain.person_tokens.double().numpy()))
    np.testing.assert_allclose(reading.person_tokens.numpy(), expected, atol=1e-5)
    torch.testing.assert_close(reading.boxes, plain.boxes)
    torch.testing.assert_close(reading.body_rotmats, plain.body_rotmats)


@pytest.fixture
def films(tmp_path):
    """The demo's first three frames, twice, and what a renderer that was killed left behind."""
    frames = [frame.rgb for frame in islice(open_footage(PLAZA), 3)]
    folder = tmp_path / "films"
    folder.mkdir()
    for name in "ab":
        encode(folder / f"{name}.mp4", iter(frames), *frames[0].shape[1::-1], Fraction(30))
        shutil.copy(PLAZA.with_suffix(".truth.npz"), folder / f"{name}.truth.npz")
    (folder / ".c.mp4").write_bytes(b"unfinished")
    return folder


def network_of(model):
    return Network(model, torch.device("cpu"), hand_means=None, threshold=0.5)


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["identity", *map(str, arguments)])
    return identity.main()


def test_the_shipped_weights_get_their_layer_anew(films, tmp_path, monkeypatch, capsys):
    path = tmp_path / "fitted.safetensors"
    assert run(monkeypatch, "--films", films, "--output", path) == 0
    assert "9 sights of 3 people to whom the layer was not fitted" in capsys.readouterr().out
    shipped, fitted = load_checkpoint(OPEN_WEIGHTS), load_checkpoint(path)
    assert fitted.config.identity_dim == identity.SIZE and fitted.metadata == shipped.metadata
    before, after = (without_identity(checkpoint).state_dict for checkpoint in (shipped, fitted))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert build_model(path).heads.identity_embed.weight.shape == (identity.SIZE, 128)


def test_in_footage_tokens_are_what_the_layer_makes_of_those_it_was_fitted_to(films):
    checkpoint = without_identity(load_checkpoint(OPEN_WEIGHTS))
    model = model_of(checkpoint, checkpoint.config).eval()
    plain = sights_in(films, network_of(model))
    layer = fit(plain, 5)
    behind = sights_in(films, network_of(with_identity(model, layer).eval()))
    np.testing.assert_allclose(behind.tokens, unit_length(layer(plain.tokens)), atol=1e-3)


def test_training_goes_on_from_weights_with_a_layer_without_it(tmp_path):
    model = toy_model()
    layer = fit(sights_of_size(model.config.hidden_dim), 7)
    path = save_weights(with_identity(model, layer), tmp_path / "weights.safetensors", fp16=False)
    fresh = AiOS(model.config)
    load_all(fresh, path)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], tensor)


def test_too_few_people_to_fit_to_or_to_judge_by_are_said():
    whole = sights()
    for which in (whole.people == 0, np.arange(len(whole.people)) % 6 == 0):  # one person; everybody once
        for work in (fit, alikeness):
            with pytest.raises(FootageError, match="At least two people must be found twice"):
                work(whole.select(which))


def test_without_films_it_says_so_and_writes_nothing(films, tmp_path, monkeypatch, capsys):
    (films / "b.mp4").unlink()
    path = tmp_path / "fitted.safetensors"
    assert run(monkeypatch, "--films", films, "--output", path) == 2
    assert "holds no two films" in capsys.readouterr().err and not path.exists()
