from __future__ import annotations

import numpy as np
import pytest
import torch

from cl.strategies import Lesson, State
from cl.strategies.ewc import EWC
from cl.training.learner import freeze, grown, new_learner


@pytest.fixture
def learner(tiny_config):
    torch.manual_seed(0)
    learner = grown(new_learner(tiny_config()), ["loan", "fee"], seed=1)
    freeze(learner)
    return learner


def lesson_of(rows) -> Lesson:
    return Lesson(rows=rows, past=lambda: rows.iloc[:0], rng=np.random.default_rng(0))


def test_the_penalty_against_a_hand_computed_case(learner) -> None:
    name, parameter = next(iter(learner.parameters()))
    fisher, anchor = torch.full_like(parameter, 0.5), parameter.detach() - 0.1
    state = State(tensors={f"fisher.{name}": fisher, f"anchor.{name}": anchor})
    penalty = EWC(strength=4.0).penalty(state, learner)
    assert penalty is not None
    assert float(penalty) == pytest.approx(4.0 / 2 * 0.5 * 0.1**2 * parameter.numel(), rel=1e-3)


def test_nothing_is_held_before_the_first_experience_and_nothing_at_the_anchor(learner, sentences) -> None:
    ewc = EWC()
    assert ewc.penalty(State(), learner) is None
    state = ewc.remember(State(), lesson_of(sentences(["loan", "fee"], 16)), learner)
    assert float(ewc.penalty(state, learner)) == 0.0


def test_fisher_information_adds_up_online(learner, sentences) -> None:
    ewc = EWC(decay=0.5, fisher="empirical")
    lesson = lesson_of(sentences(["loan", "fee"], 16))
    once = ewc.remember(State(), lesson, learner)
    twice = ewc.remember(once, lesson, learner)
    for key, value in once.tensors.items():
        if key.startswith("fisher."):
            torch.testing.assert_close(twice.tensors[key], 1.5 * value)


def test_a_head_that_grew_is_free_where_it_is_new(learner, sentences) -> None:
    ewc = EWC()
    state = ewc.remember(State(), lesson_of(sentences(["loan", "fee"], 16)), learner)
    wider = grown(learner, ["box"], seed=2)
    with torch.no_grad():
        wider.head.blocks[1].weight.add_(1.0)
    assert float(ewc.penalty(state, wider)) == 0.0
