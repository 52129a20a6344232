from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cl.models.batching import collate
from cl.models.build import grow_labels, new_learner
from cl.training.strategies import State, Step, TrainingData, Update
from cl.training.strategies.kl import KL, divergence
from tests.support.task_rows import config_of, rows_of, task_of


def probabilities(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 7, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def test_with_all_tokens_recorded_it_is_the_divergence_and_with_few_a_lower_bound_of_it() -> None:
    then, now = probabilities(5, 0), probabilities(5, 1)
    exact = (then.exp() * (then - now)).sum(-1)
    bounds = []
    for count in (1, 3, 7):
        best = then.topk(count, dim=-1)
        bounds.append(divergence(best.values, best.indices, now))
    assert torch.allclose(bounds[-1], exact, atol=1e-5)
    assert (bounds[0] <= exact + 1e-6).all() and (bounds[1] <= exact + 1e-6).all() and (bounds[0] >= -1e-6).all()


@pytest.fixture
def update(tiny_model) -> Update:
    config = config_of(tiny_model, "text_generation")
    learner = grow_labels(new_learner(config), ["text"], seed=0)
    rows = rows_of(task_of("text_generation"))(["one"], "train")
    lesson = TrainingData(rows=rows, past=pd.DataFrame, rng=np.random.default_rng(0), known=1)
    return Update(State(), lesson, learner)


def step_of(update: Update, ids: list[str] | None = None) -> Step:
    learner, rows = update.learner, update.lesson.rows
    batch = collate(learner.task, learner.encode(rows), list(range(8)), learner.tokenizer.pad_token_id, learner.device)
    return Step(ids or rows["id"].tolist()[:8], batch, learner.logits(batch))


def test_a_model_that_is_still_the_champion_pays_nothing_and_one_that_moved_pays(update) -> None:
    strategy = KL(tokens=5)
    strategy.begin(update)
    assert float(strategy.penalty(update, step_of(update))) == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        for _, parameter in update.learner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    moved = strategy.penalty(update, step_of(update))
    assert float(moved) > 1e-3 and moved.requires_grad
    assert float(KL(tokens=5, strength=2.0).penalty(update, step_of(update))) == pytest.approx(2 * float(moved))


def test_past_rows_and_a_first_model_pay_nothing(update) -> None:
    strategy = KL()
    first = replace(update, lesson=replace(update.lesson, known=0), scratch={})
    strategy.begin(first)
    assert strategy.penalty(first, step_of(first)) is None
    strategy.begin(update)
    assert strategy.penalty(update, step_of(update, [f"past-{row}" for row in range(8)])) is None
