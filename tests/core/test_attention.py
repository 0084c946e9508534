"""The two attentions against naive twins, and the torch rotations."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from aios_core.geometry.rotations_torch import axis_angle_to_rotmat, rot6d_to_rotmat, rotmat_to_axis_angle
from aios_core.model.attention import DeformableAttention, PersonAttention
from aios_core.model.parts import LAYOUTS, REGRESSORS, tokens_per_person
from aios_core.model.position import inverse_sigmoid, resize_mask
from aios_core.model.sampling import bordered_table, sample_by_bag, sample_by_grid

SHAPES = ((5, 7), (3, 4), (1, 2))


def samples(spread: float = 1.0, requires_grad: bool = False) -> list[torch.Tensor]:
    """Values, places in pixels (many of them outside the picture) and weights; two pictures, 9 queries, 2 heads."""
    generator = torch.Generator().manual_seed(0)
    tokens = sum(h * w for h, w in SHAPES)
    value = torch.randn(2, tokens, 2, 6, generator=generator)
    height, width = (torch.tensor(sizes, dtype=torch.float32)[:, None] for sizes in zip(*SHAPES, strict=True))
    x = (0.5 + spread * torch.randn(2, 9, 2, 3, 4, generator=generator)) * width
    y = (0.5 + spread * torch.randn(2, 9, 2, 3, 4, generator=generator)) * height
    weights = torch.rand(2, 9, 2, 3, 4, generator=generator)
    return [tensor.requires_grad_(requires_grad) for tensor in (value, x, y, weights)]


def by_bag(value: torch.Tensor, *places_and_weights: torch.Tensor) -> torch.Tensor:
    return sample_by_bag(bordered_table(value, SHAPES, 4), *places_and_weights)


def by_grid(value: torch.Tensor, *places_and_weights: torch.Tensor) -> torch.Tensor:
    return sample_by_grid(value, SHAPES, *places_and_weights)


def by_loop(value: torch.Tensor, *places_and_weights: torch.Tensor) -> torch.Tensor:
    from aios_core.model.sampling_numba import sample_by_loop

    return sample_by_loop(value, SHAPES, *places_and_weights)


def test_a_sample_between_pixels_is_their_mean_and_one_outside_is_nothing():
    value = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 4, 1, 1)
    x, y = torch.tensor([1.0, 0.5, 2.0, -0.5, 1.5]), torch.tensor([1.0, 0.5, 0.5, 0.5, 1.0])
    places = [axis.view(1, 5, 1, 1, 1) for axis in (x, y)]
    found = sample_by_bag(bordered_table(value, ((2, 2),), 1), *places, torch.ones(1, 5, 1, 1, 1))
    assert found.flatten().tolist() == [3.75, 1.0, 1.0, 0.0, 5.0]


def test_bags_sample_like_a_grid():
    for spread in (0.3, 1.0, 1e6):
        inputs = samples(spread)
        torch.testing.assert_close(by_bag(*inputs), by_grid(*inputs))


def gradients(sample, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    output = sample(*inputs)
    output.square().sum().backward()
    return [output.detach(), *(x.grad for x in inputs)]


def test_bags_have_the_gradients_of_a_grid():
    for bag, grid in zip(*(gradients(f, samples(requires_grad=True)) for f in (by_bag, by_grid)), strict=True):
        torch.testing.assert_close(bag, grid, atol=1e-4, rtol=1e-4)


def test_compiled_loops_sample_like_a_grid_and_have_its_gradients():
    pytest.importorskip("numba")
    for loop, grid in zip(*(gradients(f, samples(requires_grad=True)) for f in (by_loop, by_grid)), strict=True):
        torch.testing.assert_close(loop, grid, atol=1e-4, rtol=1e-4)


def test_compiled_loops_leave_the_number_of_threads_alone():
    pytest.importorskip("numba")
    script = (
        "import torch; torch.set_num_threads(1)\n"
        "from aios_core.model.sampling_numba import sample_by_loop as sample\n"
        "value, numbers = torch.rand(1, 4, 1, 8, requires_grad=True), torch.rand(1, 3, 1, 1, 2)\n"
        "sample(value, ((2, 2),), numbers, numbers, numbers).sum().backward()\n"
        "print(torch.get_num_threads())"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "1", done.stderr


def test_places_that_are_not_numbers_are_never_read():
    value, x, y, weights = samples()
    x[0, 0] = y[0, 1] = math.nan
    assert by_bag(value, x, y, weights)[1].isfinite().all()


def test_deformable_attention_reads_nothing_from_padding():
    torch.manual_seed(0)
    attention = DeformableAttention(16, 2, 3, 4)
    query, references = torch.randn(1, 9, 16), torch.rand(1, 9, 3, 4)
    memory, padding = torch.randn(1, 49, 16), torch.rand(1, 49, 1) < 0.3
    changed = torch.where(padding, memory + 100, memory)
    before, after = (
        attention(query, references, attention.sampler(tokens, padding, SHAPES), SHAPES) for tokens in (memory, changed)
    )
    torch.testing.assert_close(after, before)


def dense_mask(people: int, stage: int) -> torch.Tensor:
    """(N, N) True where a token may see another, written out pair by pair."""
    boxes = {slot.start for slot in LAYOUTS[stage] if slot.is_box}
    count = tokens_per_person(stage)
    mask = torch.zeros(people * count, people * count, dtype=torch.bool)
    for i in range(people * count):
        for j in range(people * count):
            same_person = i // count == j // count
            mask[i, j] = same_person or (i % count in boxes and j % count in boxes)
    return mask


def dense_attention(attention: PersonAttention, content, position, keys, key_position, mask) -> torch.Tensor:
    """torch's own multi-head attention with the module's weights over flat tokens (B, N, C)."""
    twin = torch.nn.MultiheadAttention(content.shape[-1], attention.heads, batch_first=True)
    twin.load_state_dict(attention.state_dict())
    return twin(content + position, keys + key_position, keys, attn_mask=~mask, need_weights=False)[0]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_person_attention_equals_dense_masked_attention(stage):
    torch.manual_seed(stage)
    attention, people, count = PersonAttention(32, 4), 5, tokens_per_person(stage)
    attention.in_proj_bias.data.normal_()
    content, position = torch.randn(2, 2, people, count, 32).unbind(0)
    found, _ = attention(content, position)
    flat = content.flatten(1, 2), position.flatten(1, 2)
    expected = dense_attention(attention, *flat, *flat, dense_mask(people, stage))
    torch.testing.assert_close(found.flatten(1, 2), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("stage", "copy_stage"), [(0, 0), (1, 0), (2, 0), (1, 1), (2, 2)])
def test_copies_attend_as_a_dense_mask_says(stage, copy_stage):
    """Copies that are boxes see all people's tokens; copies that are people see people's boxes with their boxes."""
    torch.manual_seed(10 * stage + copy_stage)
    attention, people, copies = PersonAttention(32, 4), 3, 4
    count, copy_count = tokens_per_person(stage), tokens_per_person(copy_stage)
    content, position = torch.randn(2, 2, people, count, 32).unbind(0)
    copy_content, copy_position = torch.randn(2, 2, copies, copy_count, 32).unbind(0)
    group = torch.tensor([0, 0, 1, 2])
    same_group = (group[:, None] == group)[None]
    _, found = attention(content, position, copy_content, copy_position, same_group)

    allowed = same_group[0].repeat_interleave(copy_count, 0).repeat_interleave(copy_count, 1)
    among_copies = dense_mask(copies, copy_stage) & allowed
    boxes = [any(s.is_box and s.start == t for s in LAYOUTS[stage]) for t in range(count)] * people
    copy_boxes = [any(s.is_box and s.start == t for s in LAYOUTS[copy_stage]) for t in range(copy_count)] * copies
    sees_people = torch.tensor(copy_boxes)[:, None] & torch.tensor(boxes)
    if copy_stage == 0:
        sees_people = torch.ones_like(sees_people)
    keys = torch.cat((copy_content.flatten(1, 2), content.flatten(1, 2)), 1)
    key_position = torch.cat((copy_position.flatten(1, 2), position.flatten(1, 2)), 1)
    mask = torch.cat((among_copies, sees_people), 1)
    flat = copy_content.flatten(1, 2), copy_position.flatten(1, 2)
    expected = dense_attention(attention, *flat, keys, key_position, mask)
    torch.testing.assert_close(found.flatten(1, 2), expected, atol=1e-5, rtol=1e-5)


def test_people_may_come_in_any_order():
    torch.manual_seed(0)
    attention, order = PersonAttention(32, 4), torch.randperm(6)
    content, position = torch.randn(2, 1, 6, 39, 32).unbind(0)
    found, _ = attention(content[:, order], position[:, order])
    torch.testing.assert_close(found, attention(content, position)[0][:, order])


def test_tokens_lie_where_the_published_model_has_them():
    assert [tokens_per_person(stage) for stage in (0, 1, 2)] == [1, 21, 39]
    assert [slot.start for slot in LAYOUTS[2] if slot.is_box] == [0, 18, 25, 32]
    read = {r.field: [t for slot in r.slots(2) for t in range(slot.start, slot.stop)] for r in REGRESSORS}
    assert read["body_rotmats"] == [*range(19), 25, 32]
    assert read["left_hand_rotmats"] == [0, 18, *range(19, 25), 25]
    assert read["right_hand_rotmats"] == [0, 18, 25, *range(26, 32)]
    assert read["expression"] == read["jaw_rotmats"] == [0, *range(32, 39)]


def test_masks_are_resized_to_the_nearest_place_above():
    mask = torch.arange(10)[None, :, None].expand(1, 10, 3)
    assert resize_mask(mask, 4, 1)[0, :, 0].tolist() == [0, 2, 5, 7]


def test_logits_are_clamped_at_a_thousandth():
    low, high = math.log(1e-3 / 1), math.log(1 / 1e-3)
    found = inverse_sigmoid(torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]))
    torch.testing.assert_close(found, torch.tensor([low, low, 0.0, high, high]))


# Rotations


def test_six_numbers_are_the_columns_of_a_rotation():
    quarter_turn = axis_angle_to_rotmat(torch.tensor([0.0, 0.0, math.pi / 2]))
    six = torch.stack((2 * quarter_turn[:, 0], quarter_turn[:, 1] + quarter_turn[:, 0]), -1).flatten()
    torch.testing.assert_close(rot6d_to_rotmat(six), quarter_turn)
    torch.testing.assert_close(rot6d_to_rotmat(torch.tensor([1.0, 0, 0, 1, 0, 0])), torch.eye(3))


def test_axis_angles_survive_the_round_trip_up_to_a_half_turn():
    axes = F.normalize(torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=-1)
    for angle in (0.0, 1e-9, 1e-4, 1.0, 3.0, math.pi - 1e-6):
        back = rotmat_to_axis_angle(axis_angle_to_rotmat(axes * angle))
        torch.testing.assert_close(back, axes * angle, atol=1e-7, rtol=0)


def test_rotation_gradients_are_finite_at_rest_and_at_a_half_turn():
    for start in ([0.0, 0.0, 0.0], [math.pi, 0.0, 0.0]):
        axis_angle = torch.tensor(start, requires_grad=True)
        rotmat_to_axis_angle(axis_angle_to_rotmat(axis_angle)).sum().backward()
        assert axis_angle.grad.isfinite().all()
    torch.testing.assert_close(
        torch.autograd.functional.jacobian(axis_angle_to_rotmat, torch.zeros(3, dtype=torch.float64))[2, 1],
        torch.tensor([1.0, 0, 0], dtype=torch.float64),
    )
