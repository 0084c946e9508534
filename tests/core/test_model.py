"""The network at toy size: shapes, gradients, padding, denoising, and the laws its parts obey."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from aios_core.config import OPEN, BackboneConfig
from aios_core.model import pieces
from aios_core.model.aios import AiOS
from aios_core.model.backbone import FrozenBatchNorm, ResNet
from aios_core.model.denoising import DenoisingQueries
from aios_core.model.encoder import describe_levels
from aios_core.model.heads import box_relative_camera
from aios_core.model.predictions import LayerPredictions
from aios_core.model.proposals import NOWHERE, Selection, overlapped_by_better
from tests.core.toy_model import TOY, copies, pictures, toy_model

BOX_FIELDS = {"logits", "boxes"}
POINT_FIELDS = {"left_hand_keypoints", "right_hand_keypoints", "face_keypoints"}


def tensors(layer: LayerPredictions) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return {name: value for name, value in values.items() if value is not None}


def assert_same(a: LayerPredictions, b: LayerPredictions, tolerance: float = 1e-5) -> None:
    a, b = tensors(a), tensors(b)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=tolerance, rtol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def test_every_output_has_its_documented_shape():
    images, mask = pictures()
    predictions = toy_model()(images, mask, all_layers=True)
    shapes = {name: tuple(value.shape) for name, value in tensors(predictions.final).items()}
    assert shapes == {
        "person_tokens": (2, 5, 64),
        "logits": (2, 5, 2), "boxes": (2, 5, 4), "left_hand_boxes": (2, 5, 4), "right_hand_boxes": (2, 5, 4),
        "face_boxes": (2, 5, 4), "keypoints": (2, 5, 17, 2), "left_hand_keypoints": (2, 5, 6, 2),
        "right_hand_keypoints": (2, 5, 6, 2), "face_keypoints": (2, 5, 6, 2), "body_rotmats": (2, 5, 22, 3, 3),
        "left_hand_rotmats": (2, 5, 15, 3, 3), "right_hand_rotmats": (2, 5, 15, 3, 3),
        "jaw_rotmats": (2, 5, 1, 3, 3), "betas": (2, 5, 10), "expression": (2, 5, 10), "camera": (2, 5, 3),
    }  # fmt: skip
    tokens = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert predictions.proposals.boxes.shape == (2, 12, 4)
    assert predictions.encoder.logits.shape == (2, tokens, 2)
    assert predictions.encoder.memory.shape == (2, tokens, 64)
    assert predictions.encoder.level_shapes == ((8, 12), (4, 6), (2, 3), (1, 2))
    assert predictions.encoder.valid.dtype == torch.bool


def test_people_grow_from_boxes_to_bodies_to_hands_and_faces():
    layers = toy_model()(*pictures(), all_layers=True).layers
    assert [layer.logits.shape[1] for layer in layers] == [12, 12, 5, 5, 5, 5]
    known = [set(tensors(layer)) for layer in layers]
    everything = {field.name for field in fields(LayerPredictions)}
    assert known[0] == known[1] == BOX_FIELDS
    assert known[2] == known[3] == everything - POINT_FIELDS
    assert known[4] == known[5] == everything


def test_the_answer_is_the_same_with_and_without_the_other_layers():
    model, inputs = toy_model(), pictures()
    alone, among = model(*inputs), model(*inputs, all_layers=True)
    assert len(alone.layers) == 1 and alone.encoder is None
    assert_same(alone.final, among.final)
    torch.testing.assert_close(alone.proposals.boxes, among.proposals.boxes)


@pytest.mark.parametrize("learned_content", [False, True])
def test_gradients_reach_every_parameter(learned_content):
    model = toy_model(learned_content=learned_content).train()
    predictions = model(*pictures(), copies(), all_layers=True)
    generator = torch.Generator().manual_seed(2)
    loss = 0.0
    for layer in (*predictions.layers, *predictions.denoising, predictions.proposals):
        for field in fields(layer):
            value = getattr(layer, field.name)
            if value is not None:
                loss = loss + (value * torch.randn(value.shape, generator=generator)).sum()
    loss.backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert unreached == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_picture_does_not_notice_the_others_in_its_batch():
    model, (images, mask) = toy_model(), pictures(batch=3)
    mask[1, 48:] = True
    mask[1, :, 80:] = True
    images[1].masked_fill_(mask[1], 0)
    together = model(images, mask).final
    for i in range(3):
        alone = model(images[i : i + 1], mask[i : i + 1]).final
        own = LayerPredictions(**{name: x[i : i + 1] for name, x in tensors(together).items()})
        assert_same(alone, own, tolerance=1e-3)


def test_places_are_fractions_of_the_picture_without_its_padding():
    _, mask = pictures(batch=1, height=128, width=128)
    padded_mask = torch.nn.functional.pad(mask, (0, 64, 0, 32), value=True)
    padded = describe_levels(((20, 24), (5, 6)), (8, 32), padded_mask, TOY)
    plain = describe_levels(((16, 16), (4, 4)), (8, 32), mask, TOY)
    assert (~padded.padding).sum() == 16 * 16 + 4 * 4
    torch.testing.assert_close(padded.centers[~padded.padding], plain.centers[0])
    torch.testing.assert_close(padded.position[~padded.padding], plain.position[0])
    torch.testing.assert_close(padded.valid_ratios, torch.tensor([[[16 / 24, 16 / 20], [4 / 6, 4 / 5]]]))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (33, 17)])
def test_pictures_with_fewer_tokens_than_queries_give_fewer_people(height, width):
    predictions = toy_model(queries=90, people=80)(*pictures(1, height, width))
    assert 1 <= predictions.final.logits.shape[1] <= 80
    assert all(value.isfinite().all() for value in tensors(predictions.final).values())


def test_a_black_picture_gives_finite_predictions():
    images, mask = pictures()
    final = toy_model()(torch.zeros_like(images), mask).final
    assert all(value.isfinite().all() for value in tensors(final).values())


def test_every_size_follows_the_configuration():
    changes = dict(
        feature_strides=(16, 32), heads=2, sampling_points=3, encoder_layers=2, box_layers=1, body_layers=1,
        whole_body_layers=3, hidden_dim=96, mlp_dim=8, classes=1,
        backbone=BackboneConfig("bottleneck", (1, 2, 1, 1), (4, 4, 8, 8), stem_width=12, frozen_norm=True),
    )  # fmt: skip
    predictions = toy_model(**changes)(*pictures(), copies(), all_layers=True)
    assert [layer.logits.shape[1:] for layer in predictions.layers] == [(12, 1), *[(5, 1)] * 4]
    assert predictions.encoder.level_shapes == ((4, 6), (2, 3), (1, 2))
    assert [layer.left_hand_keypoints is None for layer in predictions.layers] == [True, True, False, False, False]


def test_half_precision_stays_close_and_returns_single_precision():
    model, inputs = toy_model(queries=1, people=1), pictures(batch=1)
    expected = model(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(*inputs)
    for name, value in tensors(found.final).items():
        assert value.dtype == torch.float32, name
        assert value.isfinite().all(), name
    torch.testing.assert_close(found.proposals.boxes, expected.proposals.boxes, atol=0.02, rtol=0.02)
    torch.testing.assert_close(found.final.keypoints, expected.final.keypoints, atol=0.05, rtol=0.05)
    torch.testing.assert_close(found.final.body_rotmats, expected.final.body_rotmats, atol=0.15, rtol=0.1)


def test_double_precision_is_supported_throughout():
    model, (images, mask) = toy_model(), pictures()
    found = model.double()(images.double(), mask).final
    assert all(value.dtype == torch.float64 for value in tensors(found).values())
    assert_same(
        LayerPredictions(**{name: value.float() for name, value in tensors(found).items()}),
        toy_model()(images, mask).final,
        tolerance=1e-3,
    )


def test_the_order_of_the_first_queries_does_not_matter():
    # In double precision: sums in another order round differently, and short rotation vectors amplify that.
    images, mask = pictures()
    model, inputs = toy_model().double(), (images.double(), mask)
    expected = model(*inputs).final
    select = model.proposals.forward

    def shuffled(*arguments, **options):
        selection = select(*arguments, **options)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
        return type(selection)(
            selection.content[:, order], selection.references[:, order], selection.proposals, selection.encoder
        )

    model.proposals.forward = shuffled
    assert_same(model(*inputs).final, expected)


# Denoising


@pytest.mark.parametrize("with_keypoints", [False, True])
def test_real_queries_never_see_denoising_copies(with_keypoints):
    model, inputs = toy_model(), pictures()
    assert_same(model(*inputs, copies(with_keypoints=with_keypoints), all_layers=True).final, model(*inputs).final)


@pytest.mark.parametrize("with_keypoints", [False, True])
def test_copies_see_their_own_group_only(with_keypoints):
    model, inputs, asked = toy_model(), pictures(), copies(with_keypoints=with_keypoints)
    moved_boxes = asked.boxes.clone()
    moved_boxes[:, 3:] = moved_boxes[:, 3:] * 0.5
    moved = DenoisingQueries(asked.labels.clone(), moved_boxes, asked.group, asked.keypoints)
    moved.labels[:, 3:] += 1
    before, after = (model(*inputs, x, all_layers=True).denoising[-1] for x in (asked, moved))
    torch.testing.assert_close(before.boxes[:, :3], after.boxes[:, :3])
    assert not torch.allclose(before.boxes[:, 3:], after.boxes[:, 3:], atol=1e-3)
    own = asked.boxes.clone()
    own[:, 0] = 0.1
    touched = model(*inputs, DenoisingQueries(asked.labels, own, asked.group, asked.keypoints), all_layers=True)
    assert not torch.allclose(before.boxes[:, 1:3], touched.denoising[-1].boxes[:, 1:3], atol=1e-6)


def test_copies_without_keypoints_stay_boxes_and_with_them_become_people():
    model, inputs = toy_model(), pictures()
    boxes = model(*inputs, copies(with_keypoints=False), all_layers=True).denoising
    assert [set(tensors(layer)) for layer in boxes] == [BOX_FIELDS] * 6
    people = model(*inputs, copies(with_keypoints=True), all_layers=True).denoising
    assert people[-1].body_rotmats.shape == (2, 6, 22, 3, 3)
    assert people[-1].left_hand_keypoints.shape == (2, 6, 6, 2)


def test_the_joints_of_copies_start_at_the_given_keypoints():
    """At the start of training heads move nothing, so the first body layer repeats what it was given."""
    asked = copies()
    layers = AiOS(TOY).eval()(*pictures(), asked, all_layers=True).denoising
    torch.testing.assert_close(layers[2].keypoints, asked.keypoints.clamp(1e-3, 1 - 1e-3), atol=1e-5, rtol=0)


def test_groups_may_differ_from_picture_to_picture():
    model, inputs, asked = toy_model(), pictures(), copies()
    other = torch.tensor([0, 1, 2, 3, 4, 5])
    mixed = DenoisingQueries(asked.labels, asked.boxes, torch.stack((asked.group, other)), asked.keypoints)
    alone = DenoisingQueries(asked.labels, asked.boxes, other, asked.keypoints)
    found, first, second = (model(*inputs, x, all_layers=True).denoising[-1].boxes for x in (mixed, asked, alone))
    torch.testing.assert_close(found[0], first[0])
    torch.testing.assert_close(found[1], second[1])


# Heads


def test_a_box_is_a_double_where_a_better_one_overlaps_it():
    boxes = torch.tensor([[0.3, 0.5, 0.2, 0.4], [0.7, 0.5, 0.2, 0.4], [0.31, 0.5, 0.2, 0.4], [0.36, 0.5, 0.2, 0.4]])
    # The third and fourth overlap the first by 0.90 and by 0.54, each other by 0.60.
    for greatest, doubles in ((0.5, [0, 0, 1, 1]), (0.58, [0, 0, 1, 1]), (0.7, [0, 0, 1, 0]), (0.95, [0, 0, 0, 0])):
        assert overlapped_by_better(boxes[None], greatest)[0].tolist() == [bool(double) for double in doubles]
    assert not overlapped_by_better(boxes[None, [0, 1]], 0.0).any(), "boxes side by side share nothing"


def with_large_proposals(**changes) -> AiOS:
    """A toy network whose proposals are about half as wide and tall as the picture."""
    model = toy_model(**changes)
    with torch.no_grad():
        model.proposals.enc_out_bbox_embed.layers[-1].bias[2:] += 3
    return model


def test_each_person_is_proposed_once_before_any_is_proposed_again():
    plain = with_large_proposals()(*pictures(), all_layers=True)
    distinct = with_large_proposals(proposal_overlap=0.5)(*pictures()).proposals
    torch.testing.assert_close(plain.proposals.logits.amax(-1), plain.encoder.logits.amax(-1).topk(12).values)
    doubles = overlapped_by_better(plain.proposals.boxes, 0.5)
    assert doubles[:, 2:].any(1).all()
    torch.testing.assert_close(distinct.boxes[:, 0], plain.proposals.boxes[:, 0])
    for boxes, double, found in zip(plain.proposals.boxes, doubles, distinct.boxes, strict=True):
        boxes = boxes[~double]
        torch.testing.assert_close(found[: len(boxes)], boxes, msg="singles keep their order")


def selected(model: AiOS, images: torch.Tensor, padding: torch.Tensor) -> Selection:
    return model.proposals(*model.encode(images, padding))


def test_one_query_starts_at_each_person_and_those_left_over_start_nowhere():
    chosen = selected(with_large_proposals(proposal_overlap=0.1), *pictures())
    doubles = overlapped_by_better(chosen.proposals.boxes, 0.1)
    assert doubles.any() and not doubles.all()
    torch.testing.assert_close(chosen.references[~doubles], chosen.proposals.boxes[~doubles])
    assert (chosen.references[doubles] == NOWHERE).all()


def test_tokens_without_a_valid_anchor_take_no_queries_however_well_they_score():
    """Nothing teaches a network of ours their score: in the shipped weights it is 0.95."""
    images, padding = pictures()
    padding[:, :, 48:] = True  # so that there are such tokens

    def nowhere(**changes) -> torch.Tensor:
        model = toy_model(**changes)
        with torch.no_grad():
            head = model.proposals
            head.enc_output.bias.normal_()
            blank = head.enc_output_norm(head.enc_output.bias)
            head.enc_out_class_embed.weight.copy_(blank.expand_as(head.enc_out_class_embed.weight))
        return (selected(model, images, padding).proposals.boxes == NOWHERE).all(-1)

    assert nowhere().all(), "the published model takes them"
    assert not nowhere(proposal_overlap=0.99).any()


def test_proposals_are_the_same_whether_all_boxes_are_asked_for_or_not():
    model, images = with_large_proposals(proposal_overlap=0.5), pictures()
    some, every = model(*images).proposals, model(*images, all_layers=True).proposals
    torch.testing.assert_close((some.logits, some.boxes), (every.logits, every.boxes))


def test_an_untrained_network_predicts_rest_poses_with_low_scores():
    final = AiOS(OPEN).eval()(*pictures(1, 64, 64)).final
    identity = torch.eye(3).expand_as(final.body_rotmats)
    torch.testing.assert_close(final.body_rotmats, identity, atol=0.2, rtol=0)
    assert final.logits.sigmoid().mean() < 0.1
    assert (final.camera[..., 0] > 0).all()


def test_a_box_relative_camera_puts_the_body_where_its_box_is():
    """A person 1.7 m tall whose box is 200 pixels high, 30 pixels right and 20 below the centre, focal 1000 pixels."""
    boxes = torch.tensor([[[0.5 + 30 / 400, 0.5 + 20 / 300, 0.2, 200 / 300]]], dtype=torch.float64)
    size = torch.tensor([[400.0, 300.0]], dtype=torch.float64)
    s, tx, ty = box_relative_camera(torch.zeros(1, 1, 3, dtype=torch.float64), boxes, size, 1000.0)[0, 0].tolist()
    depth = 1 / s
    assert depth == pytest.approx(1000 * 1.7 / 200)
    assert (tx / s / depth * 1000, ty / s / depth * 1000) == pytest.approx((30, 20))
    nearer = box_relative_camera(torch.tensor([[[0.5, 0.1, -0.2]]], dtype=torch.float64), boxes, size, 1000.0)[0, 0]
    s, tx, ty = nearer.tolist()
    depth *= torch.e**-0.5
    assert 1 / s == pytest.approx(depth)
    assert (tx / s, ty / s) == pytest.approx((30 / 1000 * depth + 0.1, 20 / 1000 * depth - 0.2))


def test_rotations_are_rotations():
    final = toy_model()(*pictures()).final
    for rotmats in (final.body_rotmats, final.left_hand_rotmats, final.right_hand_rotmats, final.jaw_rotmats):
        identity = torch.eye(3).expand_as(rotmats)
        torch.testing.assert_close(rotmats @ rotmats.transpose(-1, -2), identity, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.linalg.det(rotmats), torch.ones(rotmats.shape[:-2]), atol=1e-5, rtol=0)


# Backbone


def test_a_frozen_norm_is_a_batch_norm_that_does_not_learn():
    sizes = dict(block="bottleneck", depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), stem_width=8)
    trained, frozen = (ResNet(BackboneConfig(frozen_norm=f, **sizes)) for f in (False, True))
    generator = torch.Generator().manual_seed(0)
    state = trained.state_dict()
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    frozen.load_state_dict({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})
    image = torch.randn(1, 3, 64, 64, generator=generator)
    for stride, expected in trained.eval()(image).items():
        torch.testing.assert_close(frozen.train()(image)[stride], expected, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, FrozenBatchNorm) and list(m.parameters()) for m in frozen.modules())


def test_trained_norms_follow_the_pictures_while_training():
    model = ResNet(TOY.backbone).train()
    before = model.bn1.running_mean.clone()
    model(pictures()[0])
    assert not torch.equal(before, model.bn1.running_mean)


def test_a_network_made_ready_for_inference_gives_the_same_numbers():
    for frozen_norm in (True, False):
        model = toy_model(backbone=replace(TOY.backbone, frozen_norm=frozen_norm))
        for module in model.backbone.modules():
            if hasattr(module, "running_var"):
                module.running_var.uniform_(0.5, 2)
                module.running_mean.normal_()
        with torch.no_grad():
            before = model(*pictures()).final
            assert_same(model.for_inference()(*pictures()).final, before)
        assert not any(hasattr(module, "running_var") for module in model.modules())


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_it_does_not_matter_how_many_tokens_are_worked_on_at_once(piece, monkeypatch):
    model = toy_model()
    with torch.no_grad():
        monkeypatch.setattr(pieces, "PIECE", 10**6)
        whole = model(*pictures()).final
        monkeypatch.setattr(pieces, "PIECE", piece)
        assert_same(model(*pictures()).final, whole, tolerance=1e-4)
