from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cl.config import TrainingSettings
from cl.errors import DivergedError
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import answer
from cl.training.checkpoint import BestEpoch
from cl.training.loop import run_update
from cl.training.optimiser import make_optimiser, make_schedule, step_clipped
from cl.training.strategies import State, TrainingData, Update
from cl.training.strategies.ewc import EWC
from cl.training.strategies.naive import Naive
from cl.training.strategies.replay import Replay
from cl.training.train import train


def taught(config, rows, validation, strategies=None):
    torch.manual_seed(3)
    learner = new_learner(config)
    learner = grow_labels(learner, learner.task.labels(rows), seed=1)
    lesson = TrainingData(rows=rows, past=lambda: rows.iloc[:0], rng=np.random.default_rng(3), validation=validation)
    updates = [(one, Update(state, lesson, learner)) for one, state in (strategies or {Naive(): State()}).items()]
    outcome = run_update(learner, lesson, updates, config.training)
    return outcome.learner, outcome.fit


def test_it_learns_what_the_words_tell(tiny_config, sentences) -> None:
    rows, validation = sentences(["loan", "fee", "box"], 120), sentences(["loan", "fee", "box"], 30, seed=1)
    config = tiny_config(training={"epochs": 15, "batch_size": 8, "learning_rate": 3e-3, "patience": 15})
    learner, result = taught(config, rows, validation)
    right = learner.task.score(validation, answer(learner, validation).values)["accuracy"]
    assert right > 0.9
    assert result.validation_score == pytest.approx(right)
    assert result.losses[-1] < result.losses[0]


@pytest.mark.parametrize(("steps", "epochs"), [(3, 1), (5, 1), (7, 2), (15, 3), (99, 3)])
def test_the_steps_of_an_update_are_bounded_over_all_epochs(steps, epochs, tiny_config, sentences) -> None:
    rows = sentences(["loan", "fee"], 40)  # five steps an epoch
    training = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "patience": 3, "steps": steps}
    _, result = taught(tiny_config(training=training), rows, rows)
    assert (result.steps, result.epochs) == (min(steps, 15), epochs)
    assert result.rows_learnt == 8 * result.steps


def test_one_seed_gives_the_same_weights_twice(tiny_config, sentences) -> None:
    rows = sentences(["loan", "fee"], 40)
    first, second = (taught(tiny_config(), rows, rows)[0] for _ in range(2))
    for (name, one), (_, other) in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_frozen_parts_do_not_move_and_cost_no_optimiser_state(tiny_config, tiny_model, sentences) -> None:
    config = tiny_config(model={"name": str(tiny_model), "tuning": {"name": "full", "frozen_layers": 1}})
    before = {k: v.clone() for k, v in new_learner(config).encoder.state_dict().items()}
    learner, _ = taught(config, sentences(["loan", "fee"], 40), sentences(["loan", "fee"], 8, seed=1))
    moved = {k for k, v in learner.encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert moved and all(k.startswith("encoder.layer.1.") for k in moved)
    optimiser = make_optimiser(learner, config.training)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == sum(1 for _ in learner.parameters())


def test_a_loss_that_is_not_finite_stops_training_and_says_why(tiny_config, sentences) -> None:
    config = tiny_config(training={"epochs": 3, "learning_rate": 1e30, "head_learning_rate": 1e30, "clip_norm": 1e9})
    with pytest.raises(DivergedError, match="learning_rate 1e\\+30") as stopped:
        taught(config, sentences(["loan", "fee"], 64), sentences(["loan", "fee"], 8))
    assert 8 <= stopped.value.rows < 3 * 64 and stopped.value.seconds > 0, "what it has cost until then"


@pytest.mark.parametrize("rate", [1e30, 1e300])
def test_divergence_in_the_only_step_is_noticed_and_nothing_is_saved(rate, tiny_config, sentences, tmp_path) -> None:
    settings = {"epochs": 1, "batch_size": 8, "learning_rate": rate, "head_learning_rate": rate, "warmup": 0}
    config, rows = tiny_config(training=settings), sentences(["loan", "fee"], 8)
    with pytest.raises(DivergedError, match=r"(not finite after a step|validation loss is).*learning_rate 1e\+30"):
        train(config, champion=None, new=["a"], past=[], rows_of=lambda *_: rows, folder=tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_a_penalty_that_is_not_finite_is_named(tiny_config, sentences) -> None:
    rows, held = sentences(["loan", "fee"], 8), torch.ones(2)
    state = State(tensors={"fisher.head.blocks.0.bias": held, "anchor.head.blocks.0.bias": held})
    with pytest.raises(DivergedError, match="the penalty of strategy 'ewc' is nan; its strength is probably too high"):
        taught(tiny_config(), rows, rows, {Naive(): State(), EWC(strength=1e300): state})


def test_weights_with_a_loss_that_is_not_finite_are_never_the_best(tiny_config) -> None:
    learner = grow_labels(new_learner(tiny_config()), ["a", "b"], seed=0)
    best = BestEpoch(learner)
    for loss in (math.nan, math.inf):
        best.offer(1, 0.9, loss)
        assert best.epoch == 0 and not best.weights
    best.offer(2, 0.1, 0.5)
    assert best.epoch == 2 and best.weights


def test_where_no_validation_label_is_known_the_training_loss_decides(tiny_config, sentences) -> None:
    config = tiny_config(training={"epochs": 4, "batch_size": 8, "learning_rate": 1e-3, "patience": 1})
    _, result = taught(config, sentences(["loan", "fee"], 40), sentences(["box"], 8))
    assert result.validation_score == 0.0 and result.losses[-1] < result.losses[0]
    assert result.epochs == 4


def test_the_best_epoch_is_kept_not_the_last(tiny_config, sentences) -> None:
    learner = new_learner(tiny_config())
    learner = grow_labels(learner, ["a", "b"], seed=0)
    freeze_all_but_tuned(learner)
    best = BestEpoch(learner)
    best.offer(0, 0.9, 0.3)
    good = {name: p.detach().clone() for name, p in learner.parameters()}
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.add_(1.0)
    best.offer(1, 0.8, 0.1)
    best.restore()
    assert best.epoch == 0 and best.score == 0.9
    assert all(torch.equal(p, good[name]) for name, p in learner.parameters())


def test_early_stopping_waits_for_patience_epochs(tiny_config, sentences) -> None:
    rows = sentences(["loan", "fee"], 40)
    config = tiny_config(
        training={
            "epochs": 60,
            "batch_size": 8,
            "learning_rate": 1e-12,
            "head_learning_rate": 1e-12,
            "patience": 2,
        }
    )
    _, result = taught(config, rows, rows)
    assert result.epochs < 10


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, 100, TrainingSettings(warmup=0.1))
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and np.argmax(rates) in (9, 10)
    assert rates[-1] == pytest.approx(1 / 90, abs=1e-6)


def rates_of(steps: int, **settings: object) -> list[float]:
    """The learning rates of so many steps, as shares of the peak."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, steps, TrainingSettings(**settings))
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return rates


def test_each_schedule_has_the_rates_computed_by_hand() -> None:
    assert rates_of(6, warmup=1 / 3) == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    cosine = [0.5, 1.0, 1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    assert rates_of(6, warmup=1 / 3, schedule="cosine") == pytest.approx(cosine)
    stable = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2 / 3, 1 / 3]
    assert rates_of(10, warmup=0.2, schedule="warmup_stable_decay", decay=0.3) == pytest.approx(stable)


def test_recalled_rows_are_learnt_with_the_new_and_counted(tiny_config, sentences) -> None:
    rows = sentences(["loan", "fee"], 20)
    state = State(rows=sentences(["loan", "fee"], 10, seed=9))
    config = tiny_config(training={"epochs": 2, "batch_size": 8, "patience": 5})
    _, result = taught(config, rows, rows, {Replay(rows=10, ratio=1.0): state})
    assert result.rows_recalled == 20
    assert result.steps == 2 * 4


@pytest.mark.parametrize("most", [0.5, 1e6])
def test_a_clipped_step_is_that_of_clipping_first_and_stepping_then(most) -> None:
    steps = []
    for together in (True, False):
        weights = [torch.nn.Parameter(torch.arange(1.0, 5.0)), torch.nn.Parameter(torch.ones(2, 3))]
        optimiser = torch.optim.AdamW(weights, lr=0.1, fused=True)
        for weight in weights:
            weight.grad = 3 * weight.detach().clone()
        if together:
            step_clipped(optimiser, most)
        else:
            torch.nn.utils.clip_grad_norm_(weights, most)
            optimiser.step()
        steps.append([*weights, *(weight.grad for weight in weights)])
    for ours, theirs in zip(*steps, strict=True):
        torch.testing.assert_close(ours, theirs)
