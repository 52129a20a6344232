from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cl.models.build import grow_labels
from cl.training.strategies import State
from cl.training.strategies.si import SI


def of(*values: float) -> SimpleNamespace:
    """A learner of one parameter."""
    weights = torch.nn.Parameter(torch.tensor(values))
    return SimpleNamespace(weights=weights, device=weights.device, parameters=lambda: iter([("w", weights)]))


def take(si: SI, update, gradient: list[float], move: list[float]) -> None:
    weights = update.learner.weights
    weights.grad = torch.tensor(gradient)
    si.adjust(update, None)
    weights.grad.zero_()  # clipping and the optimiser may do with it what they like
    with torch.no_grad():
        weights += torch.tensor(move)
    si.stepped(update)


def test_two_steps_by_hand(update_of, sentences) -> None:
    si, rows = SI(damping=0.5), sentences(["loan"], 3)
    update = update_of(of(1.0, 1.0, 1.0), rows)
    si.begin(update)
    take(si, update, [-2.0, 1.0, 0.0], [0.5, 0.5, 0.0])
    take(si, update, [-1.0, 1.0, 3.0], [0.5, 0.5, 0.0])
    # omega: 2 * 0.5 + 1 * 0.5 = 1.5 over a way of 1; -1: the loss rose along it; 0: it has not moved
    state = si.end(update)
    assert state.tensors["importance.w"].tolist() == pytest.approx([1.5 / 1.5, 0.0, 0.0])
    assert state.tensors["anchor.w"].tolist() == [2.0, 2.0, 1.0]
    assert not [key for key in update.scratch if key.startswith(("gradient", "before"))]


def test_the_penalty_has_no_half_and_is_not_part_of_the_gradient_that_counts(update_of, sentences) -> None:
    state = State(tensors={"importance.w": torch.tensor([2.0]), "anchor.w": torch.tensor([1.0])})
    si, update = SI(strength=3.0, damping=1.0), update_of(of(1.0), sentences(["loan"], 3), state)
    si.begin(update)
    with torch.no_grad():
        update.learner.weights += 0.5
    penalty = si.penalty(update, None)
    assert penalty.item() == pytest.approx(3.0 * 2.0 * 0.25)
    penalty.backward()
    pull = update.learner.weights.grad.item()
    assert pull == pytest.approx(6.0)
    take(si, update, [pull - 4.0], [1.0])  # the rows alone pull with -4
    later = si.end(update).tensors
    assert later["importance.w"].tolist() == pytest.approx([2.0 + 4.0 / (1.5**2 + 1.0)])
    assert later["anchor.w"].tolist() == [2.5]


def test_older_importance_may_fade(update_of, sentences) -> None:
    state = State(tensors={"importance.w": torch.tensor([2.0]), "anchor.w": torch.tensor([1.0])})
    si, update = SI(decay=0.5), update_of(of(1.0), sentences(["loan"], 3), state)
    si.begin(update)
    assert si.end(update).tensors["importance.w"].tolist() == [1.0]


def test_nothing_is_held_on_a_first_experience_nor_in_a_part_of_the_head_that_is_new(
    learner, update_of, sentences
) -> None:
    si, rows = SI(), sentences(["loan", "fee"], 4)
    update = update_of(learner, rows)
    si.begin(update)
    assert si.penalty(update, None) is None
    state = si.end(update)
    ones = {key: torch.ones_like(one) if "importance" in key else one for key, one in state.tensors.items()}
    wider = grow_labels(learner, ["box"], seed=2)
    with torch.no_grad():
        wider.head.blocks[1].weight.add_(1.0)
    assert si.penalty(update_of(wider, rows, State(tensors=ones)), None).item() == 0.0
    update = update_of(wider, rows, State(tensors=ones))
    si.begin(update)
    assert "importance.head.blocks.1.weight" in si.end(update).tensors
