from __future__ import annotations

import pytest
import torch

from cl.strategies import State
from cl.strategies.ewc import EWC
from cl.training import anchor
from cl.training.learner import grown


def test_the_penalty_against_a_hand_computed_case(learner, update_of, sentences) -> None:
    name, parameter = next(iter(learner.parameters()))
    fisher, anchor = torch.full_like(parameter, 0.5), parameter.detach() - 0.1
    state = State(tensors={f"fisher.{name}": fisher, f"anchor.{name}": anchor})
    penalty = EWC(strength=4.0).penalty(update_of(learner, sentences(["fee"], 2), state), None)
    assert penalty is not None
    assert float(penalty) == pytest.approx(4.0 / 2 * 0.5 * 0.1**2 * parameter.numel(), rel=1e-3)


def test_nothing_is_held_before_the_first_experience_and_nothing_at_the_anchor(learner, update_of, sentences) -> None:
    ewc, rows = EWC(), sentences(["loan", "fee"], 16)
    assert ewc.penalty(update_of(learner, rows), None) is None
    state = ewc.remember(update_of(learner, rows))
    assert float(ewc.penalty(update_of(learner, rows, state), None)) == 0.0


def test_fisher_information_adds_up_online(learner, update_of, sentences) -> None:
    ewc, rows = EWC(decay=0.5, fisher="empirical"), sentences(["loan", "fee"], 16)
    once = ewc.remember(update_of(learner, rows))
    twice = ewc.remember(update_of(learner, rows, once))
    for key, value in once.tensors.items():
        if key.startswith("fisher."):
            torch.testing.assert_close(twice.tensors[key], 1.5 * value)


def test_a_head_that_grew_is_free_where_it_is_new(learner, update_of, sentences) -> None:
    ewc, rows = EWC(), sentences(["loan", "fee"], 16)
    state = ewc.remember(update_of(learner, rows))
    wider = grown(learner, ["box"], seed=2)
    with torch.no_grad():
        wider.head.blocks[1].weight.add_(1.0)
    assert float(ewc.penalty(update_of(wider, rows, state), None)) == 0.0


@pytest.mark.parametrize("strength", [0.1, 1e6])
def test_a_tolerance_finds_the_strength_that_keeps_to_it(strength, learner, update_of, sentences) -> None:
    rows, tolerance = sentences(["loan", "fee"], 16), 0.002
    ewc = EWC(strength=strength, tolerance=tolerance)
    update = update_of(learner, rows, ewc.remember(update_of(learner, rows)))
    moving = [parameter for _, parameter in learner.parameters()]
    away = [parameter.detach() + 0.1 for parameter in moving]
    rises = []
    for _ in range(600):
        penalty = ewc.penalty(update, None)
        rises.append(float(anchor.pull(update, importance="fisher", strength=1.0)))
        towards = sum((one - goal).square().sum() for one, goal in zip(moving, away, strict=True))
        for one, gradient in zip(moving, torch.autograd.grad(towards + penalty, moving), strict=True):
            one.data -= 1e-3 * gradient.clamp(-1, 1)
    assert sum(rises[-100:]) / 100 == pytest.approx(tolerance, rel=0.3)
