from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cl.training.fisher import diagonal_fisher
from cl.training.inference import token_loss
from cl.training.learner import freeze, grown, new_learner


@pytest.fixture
def rows(sentences) -> pd.DataFrame:
    return sentences(["loan", "fee", "box"], 23)


def make_learner(config, rows):
    torch.manual_seed(0)
    learner = new_learner(config)
    learner = grown(learner, learner.task.labels(rows), seed=1)
    freeze(learner)
    learner.eval_mode()
    return learner


def brute_force(learner, rows: pd.DataFrame) -> dict[str, torch.Tensor]:
    """One row at a time, one backward pass each."""
    totals = {name: torch.zeros_like(p) for name, p in learner.parameters()}
    for at in range(len(rows)):
        (one,) = learner.encode(rows.iloc[[at]])
        ids = torch.tensor([one.input_ids])
        targets = learner.task.targets([one], ids.shape[1])
        counted = int((targets >= 0).sum())
        loss = token_loss(learner.logits(ids, torch.ones_like(ids)), targets) * counted
        gradients = torch.autograd.grad(loss, [p for _, p in learner.parameters()])
        for (name, _), gradient in zip(learner.parameters(), gradients, strict=True):
            totals[name] += gradient.square()
    return {name: total / len(rows) for name, total in totals.items()}


def test_equals_a_loop_over_single_rows(tiny_config, rows) -> None:
    learner = make_learner(tiny_config(), rows)
    ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0), rows_at_once=8)
    for name, expected in brute_force(learner, rows).items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-7, msg=name)


def test_equals_a_loop_over_single_rows_for_tokens(tiny_config) -> None:
    rows = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "tokens": [
                ["anna", "lives", "in", "paris"],
                ["ben", "works"],
                ["the", "bank", "in", "york", "pays"],
            ],
            "tags": [["B-PER", "O", "O", "B-LOC"], ["B-PER", "O"], ["O", "B-ORG", "I-ORG", "I-ORG", "O"]],
        }
    )
    learner = make_learner(tiny_config(task="token_classification"), rows)
    ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
    for name, expected in brute_force(learner, rows).items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-7, msg=name)


def test_padding_and_batch_size_do_not_matter(tiny_config, rows) -> None:
    learner = make_learner(tiny_config(), rows)
    one, many = (
        diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0), rows_at_once=size)
        for size in (1, 23)
    )
    for name in one:
        torch.testing.assert_close(one[name], many[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("tuning", [{"name": "full", "embeddings": True}, "bitfit", "lora", "ia3"])
def test_whatever_moves_is_measured_as_the_loop_does(tiny_config, rows, tiny_model, tuning) -> None:
    """Embeddings too, which all rows share; what no rule covers is measured row by row."""
    config = tiny_config(model={"name": str(tiny_model), "tuning": tuning, "dropout": 0.0})
    learner = make_learner(config, rows)
    ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
    for name, expected in brute_force(learner, rows).items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-7, msg=name)


def test_the_true_fisher_of_a_sure_model_is_small(tiny_config, rows) -> None:
    """Labels drawn from a model that is sure of wrong answers agree with it, so their gradients vanish."""
    learner = make_learner(tiny_config(), rows)
    with torch.no_grad():
        learner.head.blocks[0].bias[0] = 50.0
    true = diagonal_fisher(learner, rows, labels="true", rng=np.random.default_rng(0))
    empirical = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
    assert sum(float(f.sum()) for f in true.values()) < 1e-6
    assert sum(float(f.sum()) for f in empirical.values()) > 1e-2
