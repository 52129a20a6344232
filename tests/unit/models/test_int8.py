"""Weights in eight bits: a quarter of the bytes, nearly the same answers, and the same for a row in any company."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from cl.models.build import grow_labels, new_learner
from cl.models.inference import answer
from cl.models.int8 import Int8Linear, round_rows, with_int8_modules
from cl.models.persistence import load_learner, save_learner
from cl.models.rewrites import dequantise_learner, quantise_learner
from tests.support.batches import batch_of


@pytest.fixture
def learner(tiny_config):
    one = grow_labels(new_learner(tiny_config()), ["loan", "fee", "box"], seed=0)
    one.eval_mode()
    return one


def test_rounding_is_off_by_half_a_step_at_most() -> None:
    weight = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    whole, scale = round_rows(weight)
    assert (whole.float() * scale[:, None] - weight).abs().max() <= scale.max() / 2 + 1e-7
    assert whole.abs().amax(1).eq(127).all()


def test_a_product_is_close_to_that_of_floats_and_a_row_of_zeros_gives_the_bias() -> None:
    exact = torch.nn.Linear(32, 8)
    one = Int8Linear(32, 8, bias=True)
    whole, scale = round_rows(exact.weight.detach())
    one.load_state_dict({"weight": whole, "scale": scale, "bias": exact.bias.detach()})
    states = torch.randn(2, 3, 32)
    states[0, 0] = 0
    with torch.inference_mode():
        found, wanted = one(states), exact(states)
    assert (found - wanted).abs().max() < 0.05 and torch.equal(found[0, 0], exact.bias.detach())


def test_answers_do_not_depend_on_the_other_rows_of_a_batch(learner, sentences) -> None:
    rows, small = sentences(["loan", "fee"], 12), quantise_learner(learner)
    together = answer(small, rows)
    alone = [answer(small, rows.iloc[[at]]).predictions[0] for at in range(len(rows))]
    for one, other in zip(together.predictions, alone, strict=True):
        assert one.value == other.value and abs(one.confidence - other.confidence) < 1e-6


def test_it_is_saved_in_whole_numbers_and_answers_the_same_to_the_bit_when_loaded(learner, sentences, tmp_path) -> None:
    rows, small = sentences(["loan", "fee"], 12), quantise_learner(learner)
    (tmp_path / "float").mkdir()
    (tmp_path / "int8").mkdir()
    save_learner(learner, tmp_path / "float")
    save_learner(small, tmp_path / "int8")
    sizes = [(tmp_path / one / "encoder" / "model.safetensors").stat().st_size for one in ("float", "int8")]
    assert sizes[1] < sizes[0] / 2
    with safe_open(tmp_path / "int8" / "encoder" / "model.safetensors", "pt") as file:
        assert file.get_tensor("embeddings.word_embeddings.weight").dtype == torch.int8
    assert json.loads((tmp_path / "int8" / "learner.json").read_text())["int8"] is True
    again = load_learner(tmp_path / "int8")
    assert again.is_int8 and not load_learner(tmp_path / "float").is_int8
    assert answer(again, rows).predictions == answer(small, rows).predictions
    confidences = [
        abs(a.confidence - b.confidence)
        for a, b in zip(answer(learner, rows).predictions, answer(small, rows).predictions, strict=True)
    ]
    assert max(confidences) < 0.02


def test_what_learns_again_has_floats_of_the_same_value(learner) -> None:
    small = quantise_learner(learner)
    again = dequantise_learner(small)
    assert not again.is_int8 and dequantise_learner(again) is again
    ids = torch.tensor([[2, 5, 6, 3]])
    with torch.enable_grad():  # where gradients are wanted, whole numbers are read as floats
        assert torch.allclose(small.logits(batch_of(ids)), again.logits(batch_of(ids)), atol=1e-5)
    assert [name for name, _ in again.encoder.named_parameters()] == [
        name for name, _ in learner.encoder.named_parameters()
    ]


def test_empty_modules_take_what_was_saved(learner) -> None:
    state = quantise_learner(learner).encoder.state_dict()
    empty = with_int8_modules(new_like(learner))
    assert empty.load_state_dict(state).missing_keys == []


def new_like(learner):
    return type(learner.encoder)(learner.encoder.config, add_pooling_layer=False)
