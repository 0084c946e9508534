"""Fast captures: hopeless people are dropped after the box stage, and pictures are smaller."""

from dataclasses import fields, replace

import pytest
import torch

from aios_core.body.files import open_body
from aios_core.config import CaptureConfig
from aios_core.media import open_footage
from aios_core.model.checkpoint import save_weights
from aios_core.model.decoder import FEWEST_PEOPLE
from aios_core.pipeline.capture import run_settings
from aios_core.pipeline.network import FAST_SCALE, HOPELESS_SHARE, load_network
from tests.core.test_cli import PHOTO, aios
from tests.core.toy_model import pictures, toy_model

PEOPLE = {"queries": 12, "people": 10}


def outputs(model, inputs, **options) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        final = model(*inputs, **options).final
    return {field.name: getattr(final, field.name) for field in fields(final)}


def box_stage_scores(model, inputs) -> torch.Tensor:
    """(B, people) of the queries that become people, best first."""
    found = []
    select = type(model.decoder)._select

    def spy(self, queries, heads, layer, least_score):
        found.append(heads.scores(queries.content[:, :, 0], layer).amax(-1).sigmoid())
        return select(self, queries, heads, layer, least_score)

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(type(model.decoder), "_select", spy)
        model(*inputs)
    return found[0].sort(1, descending=True).values[:, : model.config.people]


def test_a_least_score_that_all_reach_keeps_everybody_and_every_number():
    model, inputs = toy_model(**PEOPLE), pictures()
    everybody = outputs(model, inputs)
    for least_score in (0.0, 1e-30):
        for name, value in outputs(model, inputs, least_score=least_score).items():
            assert torch.equal(value, everybody[name]), name


def test_dropping_people_is_as_if_the_network_had_been_made_for_fewer():
    model, inputs = toy_model(**PEOPLE), pictures()
    scores = box_stage_scores(model, inputs)
    for kept in range(FEWEST_PEOPLE, 10):
        least_score = float(scores[:, kept - 1].max())  # the picture with most of them has `kept`
        model.decoder.people = kept
        expected = outputs(model, inputs)
        model.decoder.people = 10
        found = outputs(model, inputs, least_score=least_score)
        for name, value in found.items():
            assert value.shape[1] == kept and torch.equal(value, expected[name]), (name, kept)


def test_a_few_people_are_kept_however_hopeless():
    found = outputs(toy_model(**PEOPLE), pictures(), least_score=1.0)
    assert found["logits"].shape[:2] == (2, FEWEST_PEOPLE)


def test_people_who_stay_change_only_by_what_their_boxes_saw_of_those_who_went():
    """The tokens of other people reach a person through the attention of box tokens alone."""
    model, inputs = toy_model(**PEOPLE), pictures()
    everybody = outputs(model, inputs)
    least_score = float(box_stage_scores(model, inputs)[:, 5].max())
    few = outputs(model, inputs, least_score=least_score)
    assert not torch.equal(few["boxes"], everybody["boxes"][:, : few["boxes"].shape[1]])
    for layer in list(model.decoder.layers)[model.config.box_layers :]:
        dim = model.config.hidden_dim
        with torch.no_grad():  # nobody says anything to anybody
            layer.self_attn.in_proj_weight[2 * dim :].zero_()
            layer.self_attn.in_proj_bias[2 * dim :].zero_()
    everybody, few = outputs(model, inputs), outputs(model, inputs, least_score=least_score)
    for name, value in few.items():
        torch.testing.assert_close(value, everybody[name][:, : value.shape[1]], atol=1e-4, rtol=1e-4)


def test_fast_captures_look_at_smaller_pictures_and_drop_the_hopeless(tmp_path):
    for letterbox in (False, True):
        model = toy_model(hands_relative_to_mean=False, short_side=200, letterbox=letterbox)
        path = str(save_weights(model, tmp_path / "toy.safetensors", fp16=False))
        settings = CaptureConfig(weights=path, scale=1.2)
        exact, fast = (load_network(replace(settings, fast=fast), open_body()) for fast in (False, True))
        assert exact.least_score == 0 and fast.least_score == pytest.approx(HOPELESS_SHARE * fast.threshold)
        assert exact.config.short_side == 240 and fast.config.short_side == round(240 * FAST_SCALE)
        assert fast.threshold == exact.threshold


def test_fast_captures_do_not_go_on_from_exact_ones():
    footage = open_footage(PHOTO)
    assert run_settings(footage, CaptureConfig()) != run_settings(footage, CaptureConfig(fast=True))


def test_the_command_line_knows_fast(tmp_path):
    result = aios("estimate", PHOTO, "--json", "--fast", "--threshold", "0.05")
    assert result.returncode == 0 and '"people": [{' in result.stdout, result.stderr
