from __future__ import annotations

import pandas as pd
import pytest
import torch

from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.tasks.text_classification import TextClassification
from cl.training.strategies import State
from cl.training.strategies.mas import MAS, squared_length
from tests.support.batches import batch_of


def brute_force(learner, rows: pd.DataFrame) -> dict[str, torch.Tensor]:
    """One row at a time, one backward pass each."""
    learner.eval_mode()
    totals = {name: torch.zeros_like(p) for name, p in learner.parameters()}
    for one in learner.encode(rows):
        ids = torch.tensor([one.input_ids])
        logits = learner.logits(batch_of(ids))[0]
        answers = logits if logits.ndim == 1 else logits[one.anchors]
        gradients = torch.autograd.grad((answers**2).sum(), [p for _, p in learner.parameters()])
        for (name, _), gradient in zip(learner.parameters(), gradients, strict=True):
            totals[name] += gradient.abs()
    return {name: total / len(rows) for name, total in totals.items()}


def assert_importance(state: State, expected: dict[str, torch.Tensor]) -> None:
    for name, one in expected.items():
        torch.testing.assert_close(state.tensors[f"importance.{name}"], one, rtol=1e-5, atol=1e-6, msg=name)


def test_equals_a_loop_over_single_rows(learner, update_of, sentences) -> None:
    rows = sentences(["loan", "fee"], 19)
    assert_importance(MAS().end(update_of(learner, rows)), brute_force(learner, rows))


@pytest.mark.parametrize("tuning", ["full", "lora", {"name": "full", "embeddings": True}])
def test_equals_a_loop_over_single_rows_for_tokens(tiny_config, tiny_model, update_of, tuning) -> None:
    rows = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "tokens": [["anna", "lives", "in", "paris"], ["ben", "works"], ["the", "bank", "in", "york", "pays"]],
            "tags": [["B-PER", "O", "O", "B-LOC"], ["B-PER", "O"], ["O", "B-ORG", "I-ORG", "I-ORG", "O"]],
        }
    )
    torch.manual_seed(0)
    model = {"name": str(tiny_model), "tuning": tuning}
    learner = new_learner(tiny_config(task="token_classification", model=model))
    learner = grow_labels(learner, learner.task.labels(rows), seed=1)
    freeze_all_but_tuned(learner)
    assert_importance(MAS().end(update_of(learner, rows)), brute_force(learner, rows))


def test_the_length_by_hand() -> None:
    logits = torch.tensor([[[1.0, 2.0], [9.0, 9.0]], [[3.0, 0.0], [0.0, 1.0]]])
    assert squared_length(TextClassification(), logits, torch.tensor([[0, -100], [1, 1]])).item() == 1 + 4 + 9 + 1


def test_the_importance_of_a_bias_by_hand(learner, update_of, sentences) -> None:
    """The gradient of |z|^2 by a bias is 2 z, and its sign has no part in it."""
    rows = sentences(["loan", "fee"], 6)
    with torch.no_grad():
        learner.head.blocks[0].weight.zero_()
        learner.head.blocks[0].bias.copy_(torch.tensor([1.5, -0.5]))
    state = MAS().end(update_of(learner, rows))
    assert state.tensors["importance.head.blocks.0.bias"].tolist() == pytest.approx([3.0, 1.0])


def test_the_penalty_has_no_half_and_importance_adds_up(learner, update_of, sentences) -> None:
    rows = sentences(["loan", "fee"], 8)
    name, parameter = next(iter(learner.parameters()))
    tensors = {f"importance.{name}": torch.full_like(parameter, 0.5), f"anchor.{name}": parameter.detach() - 0.1}
    penalty = MAS(strength=3.0).penalty(update_of(learner, rows, State(tensors=tensors)), None)
    assert penalty.item() == pytest.approx(3.0 * 0.5 * 0.01 * parameter.numel(), rel=1e-3)
    once = MAS().end(update_of(learner, rows))
    for decay, factor in ((1.0, 2.0), (0.5, 1.5)):
        twice = MAS(decay=decay).end(update_of(learner, rows, once))
        torch.testing.assert_close(twice.tensors[f"importance.{name}"], factor * once.tensors[f"importance.{name}"])


def test_nothing_is_held_on_a_first_experience_nor_in_a_part_of_the_head_that_is_new(
    learner, update_of, sentences
) -> None:
    mas, rows = MAS(sampled=3), sentences(["loan", "fee"], 8)
    assert mas.penalty(update_of(learner, rows), None) is None
    state = mas.end(update_of(learner, rows))
    wider = grow_labels(learner, ["box"], seed=2)
    with torch.no_grad():
        wider.head.blocks[1].weight.add_(1.0)
    assert mas.penalty(update_of(wider, rows, state), None).item() == 0.0
