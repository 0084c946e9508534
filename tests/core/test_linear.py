"""Linear layers are the same whichever library multiplies."""

import pytest
import torch
import torch.nn.functional as F

from aios_core.model import linear as module
from aios_core.model.linear import Linear, linear, onednn_is_faster, processor
from tests.core.toy_model import pictures, toy_model

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")


@pytest.fixture
def onednn(monkeypatch):
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)


def rows_apart(tensor):
    """The same numbers, every second row of a larger tensor."""
    return torch.stack((tensor, tensor + 1), 1).flatten(0, 1)[::2]


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (2, 3, 5, 12), (0, 12), (1, 12)])
@pytest.mark.parametrize("rectified", [False, True])
def test_onednn_multiplies_as_torch_does(onednn, shape, rectified):
    x, weight, bias = torch.randn(shape), torch.randn(8, 12), torch.randn(8)
    expected = F.linear(x, weight, bias)
    expected = expected.relu() if rectified else expected
    with torch.inference_mode():
        for b, w in ((bias, weight), (rows_apart(bias), rows_apart(weight))):
            torch.testing.assert_close(linear(x, w, b, rectified), expected)
        torch.testing.assert_close(
            linear(rows_apart(x.flatten(0, -2)), weight, bias, rectified), expected.flatten(0, -2)
        )
        torch.testing.assert_close(linear(x, weight, None), F.linear(x, weight))


def test_onednn_is_what_multiplies_where_it_is_faster(onednn, monkeypatch):
    monkeypatch.setattr(F, "linear", lambda *_: pytest.fail("not by oneDNN"))
    with torch.inference_mode():
        assert Linear(4, 3)(torch.ones(2, 4)).shape == (2, 3)


def test_gradients_half_precision_and_double_go_torchs_way(onednn):
    layer, x = Linear(4, 3), torch.randn(2, 4)
    layer(x, rectified=True).sum().backward()
    assert layer.weight.grad is not None
    with torch.inference_mode():
        for kind in (torch.bfloat16, torch.float64):
            assert Linear(4, 3).to(kind)(x.to(kind)).dtype == kind
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16


def test_the_network_says_the_same_whichever_library_multiplies(monkeypatch):
    model, answers = toy_model(), []
    for is_faster in (False, True):
        monkeypatch.setattr(module, "onednn_is_faster", lambda is_faster=is_faster: is_faster)
        with torch.inference_mode():
            answers.append(model(*pictures()).final)
    for name in ("boxes", "keypoints", "body_rotmats", "betas"):
        torch.testing.assert_close(getattr(answers[0], name), getattr(answers[1], name), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "told, capability, answer",
    [("AuthenticAMD", "AVX512", True), ("AuthenticAMD", "AVX2", False), ("GenuineIntel", "AVX512", False)],
)
def test_amds_processors_with_avx512_prefer_it(monkeypatch, told, capability, answer):
    assert processor()
    monkeypatch.setattr(module, "processor", lambda: f"vendor_id : {told}")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert onednn_is_faster.__wrapped__() == answer
