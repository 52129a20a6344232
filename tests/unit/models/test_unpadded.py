"""Rows that run together without padding get the states that they get alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from cl.backtesting.cost import count_passes
from cl.models.build import grow_labels, new_learner
from cl.models.unpadded import _FIRST_POSITION, chunks, group_by_length, pad_states, runs_unpadded, token_states
from cl.tasks import Encoded

SIZES: dict[str, int] = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 60,
}
DISTILBERT: dict[str, int] = {
    "vocab_size": 90,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 48,
    "max_position_embeddings": 60,
}


def encoder_of(kind: str, **more: Any) -> PreTrainedModel:
    torch.manual_seed(3)
    config = CONFIG_MAPPING[kind](**(DISTILBERT if kind == "distilbert" else SIZES), **more)
    return AutoModel.from_config(config, attn_implementation="sdpa").eval()


def rows_of(count: int) -> list[Encoded]:
    rng = np.random.default_rng(1)
    return [Encoded(rng.integers(5, 90, size=rng.integers(2, 50)).tolist(), [], []) for _ in range(count)]


def states_by_row(encoder: PreTrainedModel, rows: list[Encoded], *, exact: bool) -> Iterator[tuple[int, torch.Tensor]]:
    groups = group_by_length(rows)
    *_, last = token_states(encoder, rows, groups, 2, exact=exact)
    for group in groups:
        yield from zip(group.rows, group.of(last), strict=True)


@pytest.mark.parametrize("kind", sorted(_FIRST_POSITION))
@pytest.mark.parametrize("exact", [True, False])
def test_every_row_gets_the_states_that_it_gets_alone(kind: str, exact: bool) -> None:
    encoder, rows = encoder_of(kind), rows_of(40)
    assert runs_unpadded(encoder)
    found = dict(states_by_row(encoder, rows, exact=exact))
    assert sorted(found) == list(range(40))
    for row, states in found.items():
        with torch.no_grad():
            alone = encoder(input_ids=torch.tensor([rows[row].input_ids])).last_hidden_state[0]
        torch.testing.assert_close(states, alone, rtol=1e-4, atol=1e-5)


def test_in_exact_groups_a_row_has_the_same_states_whatever_is_with_it() -> None:
    encoder, rows = encoder_of("bert"), rows_of(60)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        together = dict(states_by_row(encoder, rows, exact=True))
        halves = [dict(states_by_row(encoder, rows[start::2], exact=True)) for start in (0, 1)]
    for row, states in together.items():
        assert torch.equal(states, halves[row % 2][row // 2])


@pytest.mark.parametrize("kind", ["gpt2", "albert", "mpnet"])
def test_an_encoder_of_another_architecture_is_padded(kind: str) -> None:
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2} if kind == "gpt2" else SIZES
    config = CONFIG_MAPPING[kind](**{**sizes, "vocab_size": 90})
    assert not runs_unpadded(AutoModel.from_config(config))


def test_an_encoder_that_sees_only_what_came_before_is_padded() -> None:
    assert not runs_unpadded(encoder_of("bert", is_decoder=True))


def test_states_are_padded_with_zeros_in_the_order_of_the_groups() -> None:
    rows = [Encoded([1, 2, 3], [], []), Encoded([4], [], []), Encoded([5, 6, 7], [], [])]
    groups = group_by_length(rows)
    assert [(group.rows, group.length, group.start) for group in groups] == [([1], 1, 0), ([0, 2], 3, 1)]
    padded = pad_states(torch.arange(1.0, 8.0).unsqueeze(1), groups)
    assert padded[..., 0].tolist() == [[1, 0, 0], [2, 3, 4], [5, 6, 7]]


def test_chunks_hold_all_rows_and_no_more_tokens_than_asked_for() -> None:
    rows = rows_of(30)
    parts = list(chunks(rows, 100))
    assert sorted(row for part in parts for row in part) == list(range(30))
    assert all(sum(len(rows[row].input_ids) for row in part) <= 100 for part in parts)
    assert list(chunks(rows[:1], 1)) == [[0]]


def test_a_learner_runs_all_rows_at_once_as_it_runs_them_in_batches(tiny_config, sentences) -> None:
    learner = grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=1)
    rows = sentences(["loan", "fee"], 30)
    rows["text"] = [text + " the" * (number % 9) for number, text in enumerate(rows["text"])]
    encoded = learner.encode(rows)
    assert learner.runs_unpadded(encoded)
    with torch.no_grad():
        ((whole, states),) = learner.run(encoded, batch_size=None)
        at_once = dict(zip(whole.rows, learner.read(states, whole), strict=True))
        for batch, own in learner.run(encoded, batch_size=4):
            for row, logits in zip(batch.rows, learner.read(own, batch), strict=True):
                torch.testing.assert_close(at_once[row], logits, rtol=1e-4, atol=1e-5)
        for batch, own in learner.run_by_length(encoded, 64):
            assert batch.mask.all()
            for row, logits in zip(batch.rows, learner.read(own, batch), strict=True):
                torch.testing.assert_close(at_once[row], logits, rtol=1e-4, atol=1e-5)


def test_the_rows_of_a_pass_are_counted_as_if_they_were_padded(tiny_config, sentences) -> None:
    learner = grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=1)
    encoded = learner.encode(sentences(["loan", "fee"], 30))
    with torch.no_grad(), count_passes() as passes:
        list(learner.run(encoded, batch_size=None))
        list(learner.run_by_length(encoded, 64))
    assert (passes.forward, passes.backward) == (60, 0)
