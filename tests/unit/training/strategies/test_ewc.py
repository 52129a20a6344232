from __future__ import annotations

import numpy as np
import pytest
import torch

from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.tasks.text_classification import TextClassification
from cl.training.strategies import State, TrainingData, Update, _anchors
from cl.training.strategies.ewc import EWC
from tests.support.task_rows import config_of, rows_of, task_of


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
    state = ewc.end(update_of(learner, rows))
    assert float(ewc.penalty(update_of(learner, rows, state), None)) == 0.0


def test_what_is_held_are_the_weights_that_the_update_begins_with(learner, update_of, sentences) -> None:
    """Such as those that a LoRA has been merged into since; with an anchor each, the experience's own."""
    rows = sentences(["loan", "fee"], 16)
    state = EWC().end(update_of(learner, rows))
    with torch.no_grad():
        learner.head.blocks[0].bias.add_(torch.tensor([0.5, 0.0]))
    for kept, held in (("last", True), ("each", False)):
        ewc, update = EWC(anchor=kept), update_of(learner, rows, state)
        ewc.begin(update)
        assert (float(ewc.penalty(update, None).detach()) == 0.0) is held


def test_what_does_not_move_this_time_keeps_its_fisher_information_and_its_anchor(
    learner, update_of, sentences
) -> None:
    rows = sentences(["loan", "fee"], 16)
    before = EWC().end(update_of(learner, rows)).tensors
    learner.encoder.requires_grad_(False)
    after = EWC().end(update_of(learner, rows, State(tensors=before))).tensors
    assert after.keys() == before.keys()
    for key, one in before.items():
        assert torch.equal(after[key], one) is (".encoder." in key or key.startswith("anchor."))


def test_fisher_information_adds_up_online(learner, update_of, sentences) -> None:
    ewc, rows = EWC(decay=0.5, fisher="empirical"), sentences(["loan", "fee"], 16)
    once = ewc.end(update_of(learner, rows))
    twice = ewc.end(update_of(learner, rows, once))
    for key, value in once.tensors.items():
        if key.startswith("fisher."):
            torch.testing.assert_close(twice.tensors[key], 1.5 * value)


@pytest.fixture
def undecided(learner):
    """A learner to whom both labels are equally likely, whatever the row: p (1 - p) is 1/4 for both biases."""
    with torch.no_grad():
        learner.head.blocks[0].weight.zero_()
        learner.head.blocks[0].bias.zero_()
    return learner


def lifted(learner, by: float) -> None:
    with torch.no_grad():
        learner.head.blocks[0].bias[0] += by


def expected_loss(learner) -> torch.Tensor:
    """What a past row loses in the mean over its labels, each of which had probability 1/2."""
    return -learner.head.blocks[0].bias.log_softmax(0).mean()


def test_at_strength_1_the_penalty_is_the_expected_rise_of_one_past_rows_loss(undecided, update_of, sentences) -> None:
    rows = sentences(["loan", "fee"], 16)
    state = EWC().end(update_of(undecided, rows))
    assert state.tensors["fisher.head.blocks.0.bias"].tolist() == pytest.approx([0.25, 0.25])
    before = float(expected_loss(undecided))
    lifted(undecided, 0.2)
    penalty = float(EWC(strength=1.0).penalty(update_of(undecided, rows, state), None))
    assert penalty == pytest.approx(0.25 / 2 * 0.2**2)
    assert float(expected_loss(undecided)) - before == pytest.approx(penalty, rel=0.01)


def test_the_strength_is_past_rows_for_each_new_row(undecided, update_of, step_of, sentences) -> None:
    """4 new rows at strength 3 pull as 4 new rows beside 12 past ones: the loss that is learnt is a mean."""
    rows, bias = sentences(["loan", "fee"], 16), undecided.head.blocks[0].bias
    state = EWC().end(update_of(undecided, rows))
    lifted(undecided, 0.1)
    new = step_of(undecided, sentences(["loan"], 4, seed=5))
    mean = TextClassification().loss(new.logits, new.batch.targets)
    ours = mean + EWC(strength=3.0).penalty(update_of(undecided, rows, state), None)
    rows_apart = torch.nn.functional.cross_entropy(new.logits, new.batch.targets, reduction="sum")
    (together,) = torch.autograd.grad(rows_apart + 12 * expected_loss(undecided), bias, retain_graph=True)
    (found,) = torch.autograd.grad(ours, bias)
    assert 4 * float(found[0]) == pytest.approx(float(together[0]), rel=0.01)


def test_the_quadratic_adds_up_over_experiences_and_the_tolerance_is_for_their_mean(
    undecided, update_of, sentences
) -> None:
    rows, state = sentences(["loan", "fee"], 16), State()
    for _ in range(3):
        state = EWC(decay=0.5).end(update_of(undecided, rows, state))
    assert float(state.tensors["weight.head.blocks.0.bias"]) == 1 + 0.5 + 0.25
    lifted(undecided, 0.2)
    one = 0.25 / 2 * 0.2**2
    assert float(EWC(strength=1.0).penalty(update_of(undecided, rows, state), None)) == pytest.approx(1.75 * one)
    for tolerance, rises in ((1.1 * one, False), (0.9 * one, True)):
        update = update_of(undecided, rows, state)
        found = EWC(strength=3.0, tolerance=tolerance).penalty(update, None)
        assert float(found) == pytest.approx(3.0 * one)
        assert (float(update.scratch["multiplier"]) > 3.0) is rises


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_with_an_anchor_each_the_gradient_is_that_of_the_sum_over_experiences(
    decay, learner, update_of, sentences
) -> None:
    """Kirkpatrick's equation 3 with two old tasks, their Fisher information and weights kept apart."""
    ewc, named = EWC(strength=3.0, decay=decay, anchor="each"), list(learner.parameters())
    state, apart = State(), []
    for seed in (1, 2):
        rows = sentences(["loan", "fee"], 12, seed=seed)
        own = ewc.end(update_of(learner, rows)).tensors  # of this experience alone
        apart.append((own, decay ** (2 - seed)))
        state = ewc.end(update_of(learner, rows, state))
        with torch.no_grad():
            for _, parameter in named:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    quadratics = [
        share * (own[f"fisher.{name}"] * (parameter - own[f"anchor.{name}"]).square()).sum()
        for own, share in apart
        for name, parameter in named
    ]
    moving = [parameter for _, parameter in named]
    expected = torch.autograd.grad(3.0 / 2 * torch.stack(quadratics).sum(), moving)
    found = torch.autograd.grad(ewc.penalty(update_of(learner, rows, state), None), moving)
    for (name, _), one, other in zip(named, found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()), msg=name)


def test_two_anchors_by_hand() -> None:
    """Of importance 3 and 1; none and 2; none at all; 2 and none."""
    old, now = torch.tensor([0.0, 0.0, 0.0, 5.0]), torch.tensor([4.0, 4.0, 4.0, 4.0])
    new, total = torch.tensor([1.0, 2.0, 0.0, 0.0]), torch.tensor([4.0, 2.0, 0.0, 2.0])
    assert _anchors.merge_anchors(old, now, importance=new, total=total).tolist() == [1.0, 4.0, 4.0, 5.0]


def test_online_the_anchor_is_where_we_are(learner, update_of, sentences) -> None:
    rows = sentences(["loan", "fee"], 8)
    state = EWC().end(update_of(learner, rows))
    with torch.no_grad():
        learner.head.blocks[0].bias.add_(1.0)
    state = EWC().end(update_of(learner, rows, state))
    assert torch.equal(state.tensors["anchor.head.blocks.0.bias"], learner.head.blocks[0].bias)


def test_a_part_of_the_head_that_came_later_is_the_mean_of_fewer_experiences(learner, update_of, sentences) -> None:
    rows = sentences(["loan", "fee"], 8)
    state = EWC(decay=1.0).end(update_of(learner, rows))
    wider = grow_labels(learner, ["box"], seed=2)
    state = EWC(decay=1.0).end(update_of(wider, rows, state))
    assert [float(state.tensors[f"weight.head.blocks.{at}.bias"]) for at in (0, 1)] == [2.0, 1.0]


def test_a_head_that_grew_is_free_where_it_is_new(learner, update_of, sentences) -> None:
    ewc, rows = EWC(), sentences(["loan", "fee"], 16)
    state = ewc.end(update_of(learner, rows))
    wider = grow_labels(learner, ["box"], seed=2)
    with torch.no_grad():
        wider.head.blocks[1].weight.add_(1.0)
    assert float(ewc.penalty(update_of(wider, rows, state), None)) == 0.0


@pytest.mark.parametrize("strength", [0.1, 1e6])
def test_a_tolerance_finds_the_strength_that_keeps_to_it(strength, learner, update_of, sentences) -> None:
    rows, tolerance = sentences(["loan", "fee"], 16), 0.002
    ewc = EWC(strength=strength, tolerance=tolerance)
    update = update_of(learner, rows, ewc.end(update_of(learner, rows)))
    moving = [parameter for _, parameter in learner.parameters()]
    away = [parameter.detach() + 0.1 for parameter in moving]
    rises = []
    for _ in range(600):
        penalty = ewc.penalty(update, None)
        rises.append(float(_anchors.anchor_penalty(update, importance="fisher", strength=1.0)))
        towards = sum((one - goal).square().sum() for one, goal in zip(moving, away, strict=True))
        for one, gradient in zip(moving, torch.autograd.grad(towards + penalty, moving), strict=True):
            one.data -= 1e-3 * gradient.clamp(-1, 1)
    assert sum(rises[-100:]) / 100 == pytest.approx(tolerance, rel=0.3)


def test_ewc_on_the_adapter_of_a_language_model_weighs_by_the_squared_gradients_of_its_answers(tiny_model) -> None:
    """By hand: each row alone, the gradient of the sum of its answer's losses; then half the weighted distance."""
    lora = {"name": "lora", "rank": 2}
    task = task_of("text_generation")
    config, rows = config_of(tiny_model, "text_generation", model={"tuning": lora}), rows_of(task)(["one"], "train")
    torch.manual_seed(0)
    learner = grow_labels(new_learner(config), ["text"], seed=0)
    freeze_all_but_tuned(learner)
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    rows = rows.head(5)
    names, weights = zip(*learner.parameters(), strict=True)
    squares = [torch.zeros_like(weight) for weight in weights]
    for row in learner.encode(rows):
        (batch,) = learner.batches([row], None)
        loss = torch.nn.functional.cross_entropy(learner.logits(batch)[0], batch.targets[0], reduction="sum")
        for total, gradient in zip(squares, torch.autograd.grad(loss, weights), strict=True):
            total += gradient.square() / len(rows)
    strategy = EWC(strength=3.0, fisher="empirical")
    lesson = TrainingData(rows=rows, past=lambda: rows, rng=np.random.default_rng(0), known=1)
    state = strategy.end(Update(State(), lesson, learner))
    for name, square in zip(names, squares, strict=True):
        torch.testing.assert_close(state.tensors[f"fisher.{name}"], square, rtol=1e-4, atol=1e-8)
    later = Update(state, lesson, learner)
    strategy.begin(later)
    with torch.no_grad():
        for weight in weights:
            weight.add_(0.5)
    by_hand = 3.0 / 2 * sum(float(square.sum()) * 0.25 for square in squares)
    assert strategy.penalty(later, None).item() == pytest.approx(by_hand, rel=1e-4) and by_hand > 1e-3
