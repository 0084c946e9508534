"""The exported network in ONNX Runtime: the numbers of PyTorch, whatever the pictures."""

import json
import sys

import numpy as np
import pytest
import torch

from aios_core import cli
from aios_core.config import OPEN
from aios_core.errors import AiosError
from aios_core.media.image import read_image
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import build_model, config_from_json
from aios_core.model.onnx_export import OUTPUTS, export_onnx
from aios_core.model.preprocess import MEAN, STD, pad_batch, preprocess
from aios_core.pipeline.people import unit_length
from tests.core.test_cli import PHOTO
from tests.core.toy_model import pictures, toy_model

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
SHORT = {"box_layers": 1, "body_layers": 1, "whole_body_layers": 1}
"""A decoder that takes little time to export."""
COMPACT = SHORT | {"learned_content": True, "box_relative_camera": True}


def session(path) -> "ort.InferenceSession":
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def assert_same_people(model: AiOS, exported: "ort.InferenceSession", images, padding_mask) -> None:
    """Every output within 1e-4, rotations within 2e-3, tokens within 3e-5 of their length, people in the same order."""
    with torch.inference_mode():
        expected = model(images, padding_mask).final
    found = exported.run(None, {"images": images.numpy(), "padding_mask": padding_mask.numpy()})
    for name, values in zip(OUTPUTS, found, strict=True):
        wanted = getattr(expected, name).numpy()
        if name == "person_tokens":  # compared by direction alone wherever they are used
            np.testing.assert_allclose(unit_length(values), unit_length(wanted), atol=3e-5, err_msg=name)
            continue
        bound = 2e-3 if name.endswith("rotmats") else 1e-4
        np.testing.assert_allclose(values, wanted, atol=bound, rtol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def open_weights(tmp_path_factory):
    """The file that the command line writes of the open weights."""
    path = tmp_path_factory.mktemp("onnx") / "open.onnx"
    assert cli.main(["weights", "export", "open", "--onnx", "-o", str(path)]) == 0
    return path


def test_a_network_for_any_size_returns_what_pytorch_returns(tmp_path):
    model = toy_model(**SHORT)
    exported = session(export_onnx(model, tmp_path / "toy.onnx"))
    for batch, height, width in ((1, 64, 96), (3, 96, 64), (2, 101, 77)):
        assert_same_people(model, exported, *pictures(batch, height, width))
    padded = pad_batch([torch.randn(3, 64, 80), torch.randn(3, 90, 70)])
    assert_same_people(model, exported, *padded)


def test_a_network_for_one_size_takes_any_number_of_pictures_of_it_alone(tmp_path):
    model = toy_model(**COMPACT)
    mean = torch.randn(55, 3)
    exported = session(export_onnx(model, tmp_path / "toy.onnx", size=(96, 64), pose_mean=mean))
    for batch in (1, 3):
        assert_same_people(model, exported, *pictures(batch, 64, 96))
    images, padding_mask = pictures(1, 96, 96)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        exported.run(None, {"images": images.numpy(), "padding_mask": padding_mask.numpy()})
    stored = json.loads(exported.get_modelmeta().custom_metadata_map["hand_means"])
    np.testing.assert_allclose(np.reshape(stored, (30, 3)), mean[25:], atol=1e-6)


def test_the_open_weights_see_the_same_people_in_a_photograph(open_weights):
    model, exported = build_model("open"), session(open_weights)
    photograph = preprocess(read_image(PHOTO), model.config)
    assert_same_people(model, exported, *pad_batch([photograph]))
    assert_same_people(model, exported, *pad_batch([photograph, torch.randn(3, OPEN.short_side, OPEN.long_side)]))


def test_the_file_says_what_it_is(open_weights):
    stated = session(open_weights).get_modelmeta().custom_metadata_map
    assert config_from_json(stated["config"], "test") == build_model("open").config
    assert stated["body_family"] == "open" and "free for any use" in stated["license"]
    assert 0 < float(stated["score_threshold"]) < 1
    np.testing.assert_allclose([json.loads(stated[key]) for key in ("input_mean", "input_std")], [MEAN, STD])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-o", "open.txt"], "must end in .onnx"),
        (["-o", "open.onnx", "--size", "big"], "--size big"),
        (["-o", "open.onnx", "--size", "341x20"], "64 pixels"),
        (["-o", "nowhere/open.onnx"], "does not exist"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["weights", "export", "open", "--onnx", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(AiosError, match="pip install onnx"):
        export_onnx(toy_model(), tmp_path / "toy.onnx")
