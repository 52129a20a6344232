from __future__ import annotations

from dataclasses import replace

import torch

from cl.models.build import grow_labels, new_learner
from cl.models.closed_form_head import ClosedFormHead
from cl.models.inference import answer
from cl.models.warm_start import warm_start_head, with_linear_head

LABELS = ["loan", "fee", "box"]


def test_a_linear_head_is_fitted_before_anything_is_trained_and_the_encoder_stays(tiny_config, sentences) -> None:
    torch.manual_seed(0)
    solved = replace(new_learner(tiny_config()), head=ClosedFormHead(32, 0, layers=2))
    learner = grow_labels(with_linear_head(replace(solved, labels=LABELS[:2])), LABELS, seed=1)
    assert learner.head.sizes == [2, 1] and not learner.is_closed
    before = {name: one.clone() for name, one in learner.encoder.state_dict().items()}
    rows = sentences(LABELS, 90)

    def right() -> float:
        return sum(a == b for a, b in zip(answer(learner, rows).values, rows["label"], strict=True)) / len(rows)

    at_random = right()
    warm_start_head(learner, rows)
    assert at_random < 0.5 < 0.9 < right()
    assert all(torch.equal(one, before[name]) for name, one in learner.encoder.state_dict().items())


def test_without_a_row_it_stays_as_it_is(tiny_config, sentences) -> None:
    learner = grow_labels(new_learner(tiny_config()), LABELS, seed=1)
    before = learner.head.blocks[0].weight.clone()
    warm_start_head(learner, sentences(["unknown"], 3))
    warm_start_head(learner, sentences(LABELS, 3).iloc[:0])
    assert torch.equal(learner.head.blocks[0].weight, before)
