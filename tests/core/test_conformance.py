"""The preset `aios` with made-up weights against arrays that the published model gave with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.body import files
from aios_core.body.body_model import BodyModel
from aios_core.body.joints import JAW, LEFT_HAND, RIGHT_HAND
from aios_core.body.skinning_torch import TorchBody
from aios_core.config import AIOS
from aios_core.geometry.rotations_torch import axis_angle_to_rotmat, rotmat_to_axis_angle
from aios_core.mocap import Camera
from aios_core.model.aios import AiOS
from aios_core.model.denoising import DenoisingQueries
from aios_core.model.predictions import LayerPredictions, Predictions
from benchmarks.dense_attention import PlainAiOS
from tests import aios_synth, conformance
from tests.deterministic_weights import fill, normalise

FIXTURES = Path(__file__).parent.parent / "fixtures"
BOUNDS = {"pred_logits": 5e-4, "betas": 5e-4, "expression": 5e-4, "rotmats": 5e-3, "camera": 2e-6}
"""Of float32 against float64; 1e-4 for boxes and points."""


@pytest.mark.parametrize("name", ["single", "wide", "batch"])
def test_outputs_agree_with_the_published_model(name, capsys):
    assert conformance.main([str(FIXTURES / f"aios_{name}.npz")]) == 0
    report = capsys.readouterr().out
    assert "all outputs agree" in report and report.count(" ok") == 31


def test_the_comparison_fails_for_another_salt():
    differences = conformance.run(str(FIXTURES / "aios_single.npz"), "another")
    assert sum(not d.passes for d in differences) > 25


def test_the_baseline_of_the_benchmark_computes_the_same():
    differences = conformance.run(str(FIXTURES / "aios_single.npz"), "", network=PlainAiOS)
    assert len(differences) == 31 and all(d.passes for d in differences)


# A second set of weights, with a made-up SMPL-X body


@pytest.fixture(scope="module")
def model() -> AiOS:
    model = AiOS(AIOS).eval()
    fill(model, aios_synth.value)
    return model


def case(name: str) -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "aios_bodies.npz") as stored:
        return {key[2:]: stored[key] for key in stored.files if key.startswith(f"{name}.")}


def run(model: AiOS, fixture: dict[str, np.ndarray], denoising: DenoisingQueries | None = None) -> Predictions:
    height, width = fixture["canvas"]
    images = torch.zeros(len(fixture["sizes"]), 3, height, width)
    mask = torch.ones(len(images), height, width, dtype=torch.bool)
    for i, (h, w) in enumerate(fixture["sizes"]):
        images[i, :, :h, :w] = torch.from_numpy(normalise(fixture[f"image_u8.{i}"]))
        mask[i, :h, :w] = False
    with torch.inference_mode():
        return model(images, mask, denoising, all_layers=True)


@pytest.fixture(scope="module", params=["A", "B"])
def compared(request, model) -> tuple[dict[str, np.ndarray], Predictions]:
    fixture = case(request.param)
    return fixture, run(model, fixture)


def assert_agrees(layer: LayerPredictions, fixture: dict[str, np.ndarray], prefix: str) -> None:
    for output, field in conformance.FIELDS.items():
        if f"{prefix}.{output}" not in fixture:
            continue
        expected = fixture[f"{prefix}.{output}"]
        found = conformance.published_layout(output, getattr(layer, field))
        if found.shape != expected.shape:  # every fourth person is stored
            found = found[:, ::4]
        bound = next((b for name, b in BOUNDS.items() if name in (output, field) or field.endswith(name)), 1e-4)
        np.testing.assert_allclose(found, expected, atol=bound, rtol=0, err_msg=f"{prefix}.{output}")


def test_final_and_other_layers_agree_under_a_second_set_of_weights(compared):
    fixture, predictions = compared
    assert_agrees(predictions.final, fixture, "out")
    for index in (2, 4):
        assert_agrees(predictions.layers[index], fixture, f"aux{index}")


def test_the_encoder_agrees_under_a_second_set_of_weights(compared):
    fixture, predictions = compared
    np.testing.assert_allclose(predictions.encoder.logits, fixture["enc_logits"], atol=1e-4)


def test_denoising_queries_agree_with_the_published_model(model):
    with np.load(FIXTURES / "aios_denoising.npz") as stored:
        expected = {key: torch.from_numpy(stored[key]) for key in stored.files}
    copies = DenoisingQueries(
        labels=expected["dn.noised_label"],
        boxes=expected["dn.noised_box_logit"].sigmoid().float(),
        group=torch.arange(100) // 3,
    )
    predictions = run(model, case("A"), copies)
    for index, layer in enumerate(predictions.denoising):
        torch.testing.assert_close(layer.logits, expected[f"dn.class_pred.{index}"], atol=5e-4, rtol=0)
        torch.testing.assert_close(layer.boxes, expected[f"dn.bbox_pred.{index}"], atol=1e-4, rtol=0)


# From predictions to bodies


@pytest.fixture(scope="module")
def body(tmp_path_factory) -> BodyModel:
    path = tmp_path_factory.mktemp("body") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **aios_synth.smplx_arrays())
    return files.load_body(path)


def full_rotmats(people: LayerPredictions, body: BodyModel) -> torch.Tensor:
    """(P, 55, 3, 3): hands relative to the mean hand, eyes at rest."""
    rotmats = torch.eye(3).repeat(people.betas.shape[1], 55, 1, 1)
    rotmats[:, :22] = people.body_rotmats[0]
    rotmats[:, JAW] = people.jaw_rotmats[0, :, 0]
    for hand, relative, mean in (
        (LEFT_HAND, people.left_hand_rotmats, body.hands_mean_left),
        (RIGHT_HAND, people.right_hand_rotmats, body.hands_mean_right),
    ):
        rotmats[:, hand] = axis_angle_to_rotmat(rotmat_to_axis_angle(relative[0]) + torch.from_numpy(mean))
    return rotmats


def test_bodies_joints_and_their_places_in_the_picture_agree(model, body):
    """Vertices, 144 joints, translations, projections and boxes of the 50 best scores of both classes."""
    fixture = case("A")
    people = run(model, fixture).final
    rotmats = full_rotmats(people, body)
    torch_body = TorchBody(body)
    posed = torch_body(people.betas[0], people.expression[0], rotmats)
    joints = torch_body.joints_144(posed, rotmats)
    np.testing.assert_allclose(joints, fixture["out.pred_smpl_kp3d"][0], atol=2e-3)
    np.testing.assert_allclose(posed.vertices[:, ::97], fixture["out.pred_smpl_verts"][0], atol=2e-3)

    scores, flat = people.logits[0].sigmoid().flatten().topk(50)
    np.testing.assert_array_equal(flat, fixture["post0.topk_flat_index"])
    np.testing.assert_allclose(scores, fixture["post0.scores"], atol=1e-4)
    chosen = flat // AIOS.classes
    s, tx, ty = people.camera[0, chosen].unbind(-1)
    transl = torch.stack((tx / s, ty / s, 1 / s), -1)
    np.testing.assert_allclose(transl, fixture["post0.cam_trans"], atol=1e-3)
    (height, width), size = fixture["sizes"][0], AIOS.camera_focal_px
    camera = Camera(size, (width / 2, height / 2))
    projected = camera.project((joints[chosen] + transl[:, None]).numpy())
    np.testing.assert_allclose(projected, fixture["post0.smplx_joint_proj"], atol=0.2)
    boxes = people.boxes[0, chosen] * torch.tensor([width, height, width, height])
    corners = torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), -1)
    np.testing.assert_allclose(corners, fixture["post0.body_bbox"], atol=2e-2)
