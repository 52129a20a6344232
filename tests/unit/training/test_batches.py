"""Batches by tokens, several batches a step, and states that are computed again: what is learned stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cl.config import Config, parse
from cl.cycle.cost import UpdateSizes, expected_cost
from cl.models.batching import collate, shuffled_batches
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.kernels import fast_kernels
from cl.models.learner import Learner
from cl.models.precision import half_weights
from cl.training.forward import take_forward_pass
from cl.training.loop import fit, train_step
from cl.training.optimiser import make_optimiser
from cl.training.strategies import State, TrainingData, Update
from cl.training.strategies.ewc import EWC
from cl.training.strategies.naive import Naive
from tests.support.task_rows import config_of as task_config
from tests.support.task_rows import rows_of, task_of
from tests.support.tiny import made_tiny_writer

PROMPTS = ["where is my card", "help", "the old box is broken and my money is lost", "my new shoe", "pay", "to paris"]
ANSWERS = ["lost", "pay the fee and send the card back to the bank", "send new money", "in the box", "the fee", "anna"]
TEXTS = pd.DataFrame({"id": list("abcdef"), "prompt": PROMPTS, "completion": ANSWERS})


@pytest.fixture(scope="module")
def writer(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_tiny_writer(tmp_path_factory.mktemp("batches") / "model", tiny_model)


def config_of(writer: Path, **training: object) -> Config:
    raw: dict[str, Any] = {
        "task": "text_generation",
        "model": {"name": str(writer), "max_length": 48, "dropout": 0.0, "tuning": {"name": "lora", "rank": 2}},
        "training": {"precision": "float32", "learning_rate": 1e-2, "epochs": 1, **training},
    }
    return parse(raw, where="test")


def learner_of(config: Config, labels: list[str]) -> Learner:
    torch.manual_seed(0)
    learner = grow_labels(new_learner(config), labels, seed=0)
    freeze_all_but_tuned(learner)
    with torch.no_grad():  # B of LoRA starts at zero, and A would have no gradient
        for name, parameter in learner.parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.1)
    return learner


def weights_after(learner: Learner, config: Config, rows: pd.DataFrame, groups: list[list[int]]) -> tuple[float, list]:
    """The loss of a step on rows in batches, and the gradients that it took."""
    encoded, ids = learner.encode(rows), rows["id"].tolist()
    pad = learner.tokenizer.pad_token_id
    batches = [collate(learner.task, encoded, own, pad, learner.device) for own in groups]
    torch.manual_seed(0)
    loss = train_step(
        learner,
        batches,
        [[ids[index] for index in own] for own in groups],
        [(Naive(), Update(State(), TrainingData(rows, lambda: rows, np.random.default_rng(0)), learner))],
        make_optimiser(learner, config.training),
        config.training,
    )
    return loss, [parameter.grad.clone() for _, parameter in learner.parameters() if parameter.grad is not None]


def assert_close(ours: list[torch.Tensor], theirs: list[torch.Tensor], tolerance: float) -> None:
    assert len(ours) == len(theirs) and any(gradient.abs().max() > 1e-2 for gradient in theirs)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("packing", [True, False])
def test_batches_of_one_step_are_learned_as_one_batch_however_long_their_answers(writer, packing) -> None:
    config = config_of(writer, packing=packing, clip_norm=1e9)
    whole = weights_after(learner_of(config, ["text"]), config, TEXTS, [[0, 1, 2, 3, 4, 5]])
    parts = weights_after(learner_of(config, ["text"]), config, TEXTS, [[0, 1], [2, 3], [4, 5]])
    assert parts[0] == pytest.approx(whole[0], abs=1e-6)
    assert_close(parts[1], whole[1], 1e-6)
    others = weights_after(learner_of(config, ["text"]), config, TEXTS, [[0], [1], [2, 3, 4, 5]])
    assert_close(others[1], whole[1], 1e-6)


@pytest.mark.parametrize("task", ["text_classification", "token_classification", "multi_label_classification"])
def test_so_are_those_of_other_tasks(task, tiny_model) -> None:
    config = task_config(tiny_model, task)
    config = config.model_copy(update={"training": config.training.model_copy(update={"clip_norm": 1e9})})
    rows = rows_of(task_of(task))(["one"], "train").head(6)
    labels = task_of(task).labels(rows)
    whole = weights_after(learner_of(config, labels), config, rows, [[0, 1, 2, 3, 4, 5]])
    parts = weights_after(learner_of(config, labels), config, rows, [[0], [1, 2, 3], [4, 5]])
    assert parts[0] == pytest.approx(whole[0], abs=1e-6)
    assert_close(parts[1], whole[1], 1e-6)


def test_a_penalty_on_weights_counts_once_in_a_step_of_several_batches(writer) -> None:
    config = config_of(writer, clip_norm=1e9)
    results = []
    for groups in ([[0, 1, 2, 3, 4, 5]], [[0, 1], [2, 3, 4], [5]]):
        learner = learner_of(config, ["text"])
        tensors = {f"anchor.{name}": torch.zeros_like(own) for name, own in learner.parameters()}
        tensors |= {f"fisher.{name}": torch.ones_like(own) for name, own in learner.parameters()}
        update = Update(State(tensors=tensors), TrainingData(TEXTS, lambda: TEXTS, np.random.default_rng(0)), learner)
        encoded, ids, pad = learner.encode(TEXTS), TEXTS["id"].tolist(), learner.tokenizer.pad_token_id
        results.append(
            train_step(
                learner,
                [collate(learner.task, encoded, own, pad, learner.device) for own in groups],
                [[ids[index] for index in own] for own in groups],
                [(EWC(strength=1.0, anchor="each"), update)],
                make_optimiser(learner, config.training),
                config.training,
            )
        )
    assert results[0] == pytest.approx(results[1], abs=1e-5) and results[0] > 1


def test_a_run_of_several_batches_a_step_takes_fewer_steps(writer) -> None:
    steps = {}
    for accumulate in (1, 2, 4):
        config = config_of(writer, batch_size=1, accumulate=accumulate, epochs=2)
        learner = learner_of(config, ["text"])
        lesson = TrainingData(TEXTS, lambda: TEXTS, np.random.default_rng(0))
        result = fit(learner, lesson, [(Naive(), Update(State(), lesson, learner))], config.training)
        steps[accumulate] = result.steps
        assert result.rows_learnt == 12
    assert steps == {1: 12, 2: 6, 4: 4}


def test_a_batch_by_tokens_holds_as_many_rows_as_fit_and_each_row_comes_once() -> None:
    lengths = [3, 40, 5, 5, 7, 9, 2, 12, 30, 4, 4, 4]
    batches = shuffled_batches(lengths, 2, np.random.default_rng(0), tokens=20)
    assert sorted(row for batch in batches for row in batch) == list(range(12))
    totals = [sum(lengths[row] for row in batch) for batch in batches]
    assert all(total <= 20 or len(batch) == 1 for total, batch in zip(totals, batches, strict=True))
    assert max(len(batch) for batch in batches) > 2 and [40] in [[lengths[row] for row in batch] for batch in batches]


def test_a_run_with_batches_by_tokens_learns_every_row(writer) -> None:
    config = config_of(writer, batch_tokens=24, epochs=2)
    learner = learner_of(config, ["text"])
    lesson = TrainingData(TEXTS, lambda: TEXTS, np.random.default_rng(0))
    result = fit(learner, lesson, [(Naive(), Update(State(), lesson, learner))], config.training)
    longest = max(len(row.input_ids) for row in learner.encode(TEXTS))
    total = sum(len(row.input_ids) for row in learner.encode(TEXTS))
    assert result.rows_learnt == 12 and 2 * total / max(24, longest) <= result.steps < 12


def gradients_of(config: Config) -> tuple[int, list[torch.Tensor | None]]:
    """How many numbers a forward pass keeps for the backward pass, and the gradients."""
    learner, saved = learner_of(config, ["text"]), []
    encoded, pad = learner.encode(TEXTS), learner.tokenizer.pad_token_id
    batch = collate(learner.task, encoded, [0, 1, 2, 3, 4, 5], pad, learner.device)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    halves = half_weights(learner, config.training.precision)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step = take_forward_pass(learner, batch, TEXTS["id"].tolist(), config.training, halves)
    learner.task.loss(step.logits, batch.targets).backward()
    return sum(saved), [parameter.grad for _, parameter in learner.parameters()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("packing", [True, False])
def test_recomputed_states_give_the_gradients_of_kept_ones_to_the_bit(writer, packing, precision) -> None:
    settings = {"packing": packing, "precision": precision}
    few, ours = gradients_of(config_of(writer, recompute=True, **settings))
    many, theirs = gradients_of(config_of(writer, recompute=False, **settings))
    assert few < many / 2
    assert all(torch.equal(own, other) for own, other in zip(ours, theirs, strict=True))
    assert any(gradient.abs().max() > 0 for gradient in theirs)


def test_dropout_is_drawn_once_for_states_that_are_recomputed(tiny_model, sentences, tiny_config) -> None:
    rows, gradients = sentences(["loan", "fee"], 8), []
    for recompute in (True, False):
        config = tiny_config(
            model={"name": str(tiny_model), "dropout": 0.0, "encoder_dropout": True},
            training={"recompute": recompute, "precision": "float32"},
        )
        learner = learner_of(config, ["fee", "loan"])
        learner.train_mode()
        batch = collate(learner.task, learner.encode(rows), list(range(8)), 0, learner.device)
        torch.manual_seed(3)
        step = take_forward_pass(learner, batch, rows["id"].tolist(), config.training, None)
        with fast_kernels(learner.device):
            learner.task.loss(step.logits, batch.targets).backward()
        gradients.append([parameter.grad for _, parameter in learner.parameters()])
    pairs = [(own, other) for own, other in zip(*gradients, strict=True) if other is not None]
    assert pairs and all(torch.equal(own, other) for own, other in pairs)


@pytest.mark.parametrize(
    ("training", "rows"), [({}, 12), ({"accumulate": 2}, 24), ({"batch_tokens": 50}, 900), ({"steps": None}, 900)]
)
def test_an_update_is_expected_to_cost_the_rows_of_all_its_batches(writer, training, rows) -> None:
    config = config_of(writer, **{"epochs": 9, "steps": 3, "batch_size": 4, **training})
    config = config.model_copy(update={"strategy": "naive"})
    assert expected_cost(config, UpdateSizes(new=100, past=0), (), rung="all", ladder=config).rows == rows
