from __future__ import annotations

import pandas as pd
import pytest
import torch

from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.tasks.text_classification import TextClassification
from cl.training.strategies import State
from cl.training.strategies.a_gem import AGEM, project_gradient


@pytest.mark.parametrize(
    ("own", "reference", "expected"),
    [
        ([1.0, 0.0], [-1.0, 1.0], [0.5, 0.5]),  # dot -1, reference squared 2: g + ref / 2
        ([3.0, -4.0], [0.0, 2.0], [3.0, 0.0]),
        ([1.0, 2.0], [1.0, 0.0], [1.0, 2.0]),  # already points the same way
        ([1.0, 2.0], [-2.0, 1.0], [1.0, 2.0]),  # at right angles
        ([1.0, 2.0], [0.0, 0.0], [1.0, 2.0]),
    ],
)
def test_the_projection_of_two_parameters_by_hand(own, reference, expected) -> None:
    # one parameter each: the product runs over all of them together
    found = project_gradient([torch.tensor([one]) for one in own], [torch.tensor([one]) for one in reference])
    assert torch.cat(found).tolist() == pytest.approx(expected)


def test_what_was_projected_is_at_right_angles_to_the_reference() -> None:
    torch.manual_seed(0)
    reference = [torch.randn(5, 3), torch.randn(7)]
    own = [-one + 0.3 * torch.randn_like(one) for one in reference]
    product = sum((one * past).sum() for one, past in zip(project_gradient(own, reference), reference, strict=True))
    assert abs(float(product)) < 1e-5


def loss_of(step) -> torch.Tensor:
    return TextClassification().loss(step.logits, step.batch.targets)


def test_a_step_against_the_past_is_turned_and_its_norm_does_not_grow(learner, update_of, sentences, step_of) -> None:
    learner.eval_mode()
    past = sentences(["loan", "fee"], 8)
    wrong = past.assign(label=["fee", "loan"] * 4)
    reference = torch.autograd.grad(loss_of(step_of(learner, past)), [p for _, p in learner.parameters()])
    step = step_of(learner, wrong)
    loss_of(step).backward()
    before = [p.grad.clone() for _, p in learner.parameters()]
    AGEM(drawn=100).adjust(update_of(learner, wrong, State(rows=past)), step)
    after = [p.grad for _, p in learner.parameters()]
    assert sum(float((one * ref).sum()) for one, ref in zip(before, reference, strict=True)) < -1e-3
    assert abs(sum(float((one * ref).sum()) for one, ref in zip(after, reference, strict=True))) < 1e-5
    assert sum(float(one.square().sum()) for one in after) < sum(float(one.square().sum()) for one in before)


def test_a_step_that_helps_the_past_and_a_first_experience_stay_as_they_are(
    learner, update_of, sentences, step_of
) -> None:
    learner.eval_mode()
    rows = sentences(["loan", "fee"], 8)
    step = step_of(learner, rows)
    loss_of(step).backward()
    before = [p.grad.clone() for _, p in learner.parameters()]
    for state in (State(rows=rows), State(), State(rows=rows.iloc[:0])):
        AGEM().adjust(update_of(learner, rows, state), step)
        assert all(torch.equal(one, p.grad) for one, (_, p) in zip(before, learner.parameters(), strict=True))


def test_a_head_that_grew_and_tokens(tiny_config, update_of, step_of) -> None:
    rows = pd.DataFrame({"id": ["a", "b"], "tokens": [["anna", "lives", "in", "york"], ["parcels"]]})
    rows["tags"] = [["O", "O", "O", "O"], ["O"]]
    learner = new_learner(tiny_config(task="token_classification"))
    learner = grow_labels(grow_labels(learner, ["O"], seed=1), ["B-LOC", "I-LOC"], seed=2)
    freeze_all_but_tuned(learner)
    step = step_of(learner, rows.assign(tags=[["B-LOC", "I-LOC", "I-LOC", "B-LOC"], ["B-LOC"]]))
    loss_of(step).backward()
    before = [p.grad.clone() for _, p in learner.parameters()]
    AGEM().adjust(update_of(learner, rows, State(rows=rows)), step)
    assert any(not torch.equal(one, p.grad) for one, (_, p) in zip(before, learner.parameters(), strict=True))


def test_the_buffer_is_kept_and_bounded_but_not_replayed(learner, update_of, sentences) -> None:
    a_gem = AGEM(rows=6, bytes=10**6)
    state = a_gem.end(update_of(learner, sentences(["loan", "fee"], 20)))
    assert len(state.rows) == 6 and state.seen == 20
    assert a_gem.epoch_rows(update_of(learner, sentences(["box"], 3), state)).past is None
