"""Rows that are packed are learned as rows that are padded: the same logits, loss and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from cl.config import parse
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.language_learner import LanguageLearner
from cl.models.packing import PACKED, AttentionWithinRows, PackedRows, can_pack
from cl.tasks import IGNORED, Batch
from tests.support.families import FAMILIES
from tests.support.tiny import made_tiny_writer

ROWS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "prompt": [
            "where is my card",
            "please help me",
            "the old box is broken and my money is lost",
            "my new shoe is",
        ],
        "completion": ["the card is lost", "pay the fee", "send new money back to the bank", "in the box"],
    }
)


def writer_of(kind: str, tiny_model: Path, folder: Path) -> Path:
    """A tiny model with random weights, and its tokenizer; that of Qwen pairs bytes."""
    return FAMILIES[kind].save(folder, pad=True) if kind == "qwen2" else made_tiny_writer(folder, tiny_model, kind=kind)


def learner_of(folder: Path, tuning: object = "full") -> LanguageLearner:
    raw: dict[str, Any] = {
        "task": "text_generation",
        "model": {"name": str(folder), "max_length": 48, "dropout": 0.0, "tuning": tuning},
    }
    learner = grow_labels(new_learner(parse(raw, where="test")), ["text"], seed=0)
    assert isinstance(learner, LanguageLearner)
    freeze_all_but_tuned(learner)
    return learner


def learned(learner: LanguageLearner, batch: Batch, *, packed: bool) -> tuple[torch.Tensor, float, list[torch.Tensor]]:
    """The logits, the loss and the gradients of a batch."""
    (logits,) = learner.forward(batch, packed=packed)
    loss = learner.task.loss(logits, batch.targets)
    gradients = torch.autograd.grad(loss, [parameter for _, parameter in learner.parameters()], materialize_grads=True)
    return logits.detach(), float(loss.detach()), list(gradients)


@pytest.mark.parametrize("tuning", ["full", {"name": "lora", "rank": 2}])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_packed_rows_have_the_logits_loss_and_gradients_of_padded_rows(kind, tuning, tiny_model, tmp_path) -> None:
    learner = learner_of(writer_of(kind, tiny_model, tmp_path / "model"), tuning)
    (batch,) = learner.batches(learner.encode(ROWS), None)
    assert not batch.mask.all() and can_pack(learner.encoder, 64)
    padded, loss, gradients = learned(learner, batch, packed=False)
    packed, own_loss, own = learned(learner, batch, packed=True)
    written = batch.targets != IGNORED
    torch.testing.assert_close(packed[written], padded[written], atol=1e-5, rtol=1e-5)
    assert own_loss == pytest.approx(loss, abs=1e-5)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients)
    for ours, theirs in zip(own, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_no_row_sees_the_rows_before_it(kind, tiny_model, tmp_path) -> None:
    learner = learner_of(writer_of(kind, tiny_model, tmp_path / "model"))
    others = ROWS.assign(prompt=["my lamp", "order", "the bank is in york", *ROWS["prompt"][3:]])
    (batch,) = learner.batches(learner.encode(ROWS)[-1:], None)
    alone = learner.forward(batch, packed=True)[0]
    for rows in (ROWS, others):
        encoded = learner.encode(rows)
        (together,) = learner.batches([encoded[0], encoded[2], encoded[3]], None)
        last = together.rows.index(2)
        own = learner.forward(together, packed=True)[0][last, : alone.shape[1]]
        torch.testing.assert_close(own, alone[0], atol=1e-5, rtol=1e-5)


SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "vocab_size": 64, "pad_token_id": 0, "eos_token_id": 1,
    "bos_token_id": 2, "n_embd": 32, "n_layer": 2, "n_head": 4,
}  # fmt: skip


def tiny_causal_model(kind: str) -> Any:
    known = CONFIG_MAPPING[kind]
    torch.manual_seed(0)
    sizes = {name: size for name, size in SIZES.items() if name in known().to_dict()}
    model: Any = AutoModelForCausalLM.from_config(known(**sizes))
    return model.eval()


@pytest.mark.parametrize("kind", sorted(PACKED))
def test_every_architecture_that_packs_gives_a_row_what_it_gets_alone(kind) -> None:
    model = tiny_causal_model(kind)
    assert can_pack(model, 9)
    rows = [torch.randint(3, 64, (length,)) for length in (5, 5, 9, 7)]
    padded = torch.zeros(4, 9, dtype=torch.long)
    mask = torch.zeros(4, 9, dtype=torch.long)
    for index, row in enumerate(rows):
        padded[index, : len(row)], mask[index, : len(row)] = row, 1
    packed = PackedRows.of(padded, mask)
    with torch.no_grad():
        alone = torch.cat([model(input_ids=row.unsqueeze(0), use_cache=False).logits[0] for row in rows])
        with AttentionWithinRows(packed.lengths):
            own = model(input_ids=packed.input_ids, position_ids=packed.positions, use_cache=False).logits[0]
    torch.testing.assert_close(own, alone, atol=1e-5, rtol=1e-5)


def test_rows_beyond_a_sliding_window_are_padded() -> None:
    model = tiny_causal_model("mistral")
    model.config.sliding_window = 8
    assert can_pack(model, 8) and not can_pack(model, 9)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_model_with_a_decoder_of_its_own_pads_as_before(kind, tiny_model, tmp_path) -> None:
    learner = learner_of(made_tiny_writer(tmp_path / "model", tiny_model, kind=kind))
    (batch,) = learner.batches(learner.encode(ROWS), None)
    assert torch.equal(learner.forward(batch, packed=True)[0], learner.forward(batch)[0])
