"""A row's weight multiplies its loss: twice the weight is the row given twice, whatever the batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cl.compression.imitation import divergence
from cl.models.batching import collate
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import answer
from cl.models.learner import Learner
from cl.models.logistic_regression import fit_logistic
from cl.models.persistence import load_learner
from cl.models.temperature import fit_temperature
from cl.models.weights import relative, row_weights
from cl.records import WEIGHT
from cl.tasks import Batch
from cl.tasks.text_classification import TextClassification
from cl.training.loop import epoch_weights
from cl.training.strategies import State, Step, TrainingData, Update, load_states
from cl.training.strategies._fisher import diagonal_fisher
from cl.training.strategies._per_example_gradients import add_absolute, mean_over_rows
from cl.training.strategies.der import DER
from cl.training.strategies.lwf import LwF
from cl.training.strategies.mas import squared_length
from cl.training.train import train

ASKED = SimpleNamespace(task=TextClassification())
"""What a penalty asks a learner for."""
TOKENS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "tokens": [["anna", "lives", "in", "paris"], ["ben", "works"], ["the", "bank"], ["order"]],
        "tags": [["B-PER", "O", "O", "B-LOC"], ["B-PER", "O"], ["O", "B-ORG"], ["O"]],
    }
)


def weigh(rows: pd.DataFrame, weights: list[float]) -> pd.DataFrame:
    return rows.assign(**{WEIGHT: weights})


def repeat(rows: pd.DataFrame, times: list[int]) -> pd.DataFrame:
    """Give each row as often as said, under ids of its own."""
    again = rows.iloc[np.repeat(np.arange(len(rows)), times)].reset_index(drop=True)
    return again.assign(id=[f"{id}-{index}" for index, id in enumerate(again["id"])])


@pytest.fixture(params=["text_classification", "token_classification"])
def rows_and_learner(request, tiny_config, sentences) -> tuple[pd.DataFrame, Learner]:
    rows = sentences(["loan", "fee"], 4) if request.param == "text_classification" else TOKENS
    torch.manual_seed(0)
    learner = new_learner(tiny_config(task=request.param))
    learner = grow_labels(learner, learner.task.labels(rows), seed=1)
    freeze_all_but_tuned(learner)
    return rows, learner


def epoch_loss(learner: Learner, rows: pd.DataFrame, batch_size: int) -> torch.Tensor:
    """Return the mean loss of an epoch, whose batches count as their number of predictions."""
    encoded, parts = learner.encode(rows), []
    weights = epoch_weights(rows, encoded)
    for start in range(0, len(rows), batch_size):
        indices = list(range(start, min(start + batch_size, len(rows))))
        batch = collate(learner.task, encoded, indices, 0, learner.device, weights=weights)
        loss = learner.task.loss(learner.logits(batch), batch.targets, batch.weights)
        parts.append(loss * (batch.targets >= 0).sum())
    return torch.stack(parts).sum() / sum(target >= 0 for row in encoded for target in row.targets)


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e200])
def test_the_loss_is_the_weighted_mean_whatever_the_batches(rows_and_learner, batch_size, scale) -> None:
    rows, learner = rows_and_learner
    learner.eval_mode()
    twice = epoch_loss(learner, repeat(rows, [1, 2, 1, 3]), 100)
    weighed = epoch_loss(learner, weigh(rows, [scale, 2 * scale, scale, 3 * scale]), batch_size)
    assert weighed.item() == pytest.approx(twice.item(), rel=1e-5)
    assert weighed.item() != pytest.approx(epoch_loss(learner, rows, 100).item(), rel=1e-5)


def test_fisher_information_and_sensitivity_are_weighted_means(rows_and_learner) -> None:
    rows, learner = rows_and_learner
    given, again = weigh(rows, [1.0, 2.0, 1.0, 3.0]), repeat(rows, [1, 2, 1, 3])
    length = partial(squared_length, learner.task)
    for size in (1, 4):
        pairs = [
            [
                diagonal_fisher(learner, some, labels="empirical", rng=np.random.default_rng(0), rows_at_once=size),
                mean_over_rows(learner, some, objective=length, add=add_absolute, rows_at_once=size),
            ]
            for some in (given, again)
        ]
        for ours, theirs in zip(*pairs, strict=True):
            for name, tensor in ours.items():
                torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-7)


def test_a_weighted_regression_and_temperature_are_those_of_repeated_rows() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(30, 4), torch.randint(0, 3, (30,))
    times = torch.randint(1, 4, (30,))
    again = torch.repeat_interleave(torch.arange(30), times)
    ours = fit_logistic(inputs, targets, 3, decay=0.1, weights=times.double())
    theirs = fit_logistic(inputs[again], targets[again], 3, decay=0.1)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)
    logits = torch.randn(30, 3)
    expected = fit_temperature(logits[again], targets[again])
    assert fit_temperature(logits, targets, times.double()) == pytest.approx(expected, rel=1e-4)


def made_step(ids: list[str], logits: torch.Tensor, weights: list[float] | None) -> Step:
    nothing = torch.zeros(len(ids), 1, dtype=torch.long)
    given = None if weights is None else torch.tensor(relative(np.array(weights)), dtype=torch.float32)
    return Step(ids, Batch(nothing, nothing, torch.zeros(len(ids), dtype=torch.long), [], given), logits)


def lwf_penalty(ids: list[str], step: Step) -> Any:
    recorded = {"a": [2.0, 0.0], "b": [0.0, 1.0]}
    lesson = TrainingData(rows=pd.DataFrame({"id": ids}), past=pd.DataFrame, rng=None, known=2)  # type: ignore[arg-type]
    scratch = {"logits": torch.tensor([recorded[id[0]] for id in ids]), "ends": torch.arange(1, len(ids) + 1)}
    return LwF().penalty(Update(None, lesson, ASKED, scratch), step)  # type: ignore[arg-type]


def der_penalty(ids: list[str], step: Step) -> Any:
    recorded = {"a": [[2.0, 0.0]], "b": [[0.0, 1.0]]}
    state = State(rows=pd.DataFrame({"id": ids, "logits": [np.float32(recorded[id[0]]) for id in ids]}))
    return DER(alpha=0.5, beta=3.0).penalty(Update(state, None, ASKED), step)  # type: ignore[arg-type]


def student_loss(ids: list[str], step: Step) -> Any:
    teacher = torch.tensor([{"a": [2.0, 0.0], "b": [0.0, 1.0]}[id[0]] for id in ids])
    return divergence(step.logits, teacher, 2.0, step.batch.weights)


@pytest.mark.parametrize("penalty", [lwf_penalty, der_penalty, student_loss])
def test_what_holds_on_to_answers_weighs_their_rows(penalty: Callable[..., torch.Tensor]) -> None:
    logits = torch.tensor([[0.5, 1.0], [3.0, -1.0]])
    weighed = penalty(["a", "b"], made_step(["a", "b"], logits, [1.0, 2.0]))
    again = ["a", "b", "b2"]
    twice = penalty(again, made_step(again, logits[[0, 1, 1]], None))
    assert weighed.item() == pytest.approx(twice.item(), rel=1e-5)
    assert weighed.item() != pytest.approx(penalty(["a", "b"], made_step(["a", "b"], logits, None)).item(), rel=1e-3)


CLOSED = [
    "ncm",
    "slda",
    "majority",
    "regression",
    {"name": "ranpac", "features": 16},
    {"name": "ranpac", "features": 400},
    {"name": "ranpac", "features": 64, "removable": False},
    {"name": "ranpac", "features": 0},
]
"""With 16 features the equations are over features, with 400 over rows."""


@pytest.fixture
def solved(tiny_config, sentences, tmp_path) -> Callable[..., Any]:
    def run(strategy: Any, name: str, change: Callable[[pd.DataFrame], pd.DataFrame], *, parts: int = 1) -> Any:
        training, validation = sentences(["loan", "fee", "box"], 30), sentences(["loan", "fee", "box"], 12, seed=5)
        changed, config, champion = change(training), tiny_config(strategy=strategy), None
        pieces = {str(part): changed.iloc[part::parts].reset_index(drop=True) for part in range(parts)}

        def rows_of(ids: list[str], split: str) -> pd.DataFrame:
            kept = {"train": lambda id: pieces[id], "validation": lambda id: validation[: 12 * (id == "0")]}[split]
            return pd.concat([kept(id) for id in ids], ignore_index=True) if ids else changed.iloc[:0]

        for part in range(parts):
            past, folder = [str(number) for number in range(part)], tmp_path / name / str(part)
            train(config, champion=champion, new=[str(part)], past=past, rows_of=rows_of, folder=folder)
            champion = folder
        learner = load_learner(folder)
        return answer(learner, sentences(["loan", "fee", "box"], 20, seed=9)), load_states(folder)

    return run


def assert_same_answers(ours: Any, theirs: Any) -> None:
    assert ours.values == theirs.values
    confidences = [[prediction.confidence for prediction in answers.predictions] for answers in (ours, theirs)]
    assert confidences[0] == pytest.approx(confidences[1], abs=2e-3)


TIMES = [1, 2, 1, 1, 3] * 6


@pytest.mark.parametrize("strategy", CLOSED, ids=str)
def test_in_a_closed_form_a_row_of_weight_2_is_the_row_given_twice(solved, strategy) -> None:
    weighed, states = solved(strategy, "weighed", lambda rows: weigh(rows, [float(times) for times in TIMES]))
    twice, others = solved(strategy, "twice", lambda rows: repeat(rows, TIMES))
    assert_same_answers(weighed, twice)
    (ours,), (theirs,) = states.values(), others.values()
    for name in {"counts", "sums", "gram"} & ours.tensors.keys() & theirs.tensors.keys():
        torch.testing.assert_close(ours.tensors[name].double(), theirs.tensors[name].double())


@pytest.mark.parametrize("strategy", CLOSED, ids=str)
def test_weighted_rows_may_come_after_rows_without_weights_and_before_them(solved, strategy) -> None:
    """Some experiences have the column, and some have not."""

    def some(rows: pd.DataFrame) -> pd.DataFrame:
        return weigh(rows, [times if index % 3 == 1 else np.nan for index, times in enumerate(TIMES)])

    at_once, _ = solved(strategy, "at-once", some)
    in_parts, _ = solved(strategy, "parts", some, parts=3)
    assert_same_answers(at_once, in_parts)


@pytest.mark.parametrize("strategy", CLOSED[:6], ids=str)
def test_a_weighted_row_that_is_forgotten_leaves_no_trace(solved, strategy, tiny_config, sentences, tmp_path) -> None:
    from cl.training.unlearn_learner import unlearn_learner

    weights = [0.1 * times for times in TIMES]
    solved(strategy, "with", lambda rows: weigh(rows, weights))
    without, _ = solved(
        strategy, "without", lambda rows: weigh(rows, weights).drop(index=[1, 7]).reset_index(drop=True)
    )
    config, gone = tiny_config(strategy=strategy), set(sentences(["loan", "fee", "box"], 30)["id"].iloc[[1, 7]])
    validation = sentences(["loan", "fee", "box"], 12, seed=5)
    made = unlearn_learner(config, tmp_path / "with" / "0", gone, past=lambda split: validation, validation=validation)
    assert_same_answers(answer(made.learner, sentences(["loan", "fee", "box"], 20, seed=9)), without)
    (state,) = made.states.values()
    assert state.rows is not None and not gone & set(state.rows["id"])


def test_a_column_of_text_under_the_same_name_says_nothing_of_weights() -> None:
    kept = pd.DataFrame({WEIGHT: ["7", None]})
    assert row_weights(kept) is None
    assert row_weights(pd.concat([kept, pd.DataFrame({WEIGHT: [2.5]})])).tolist() == [1.0, 1.0, 2.5]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1.0, 3.0], [0.5, 1.5]), ([1e308, 1e308], [1.0, 1.0]), ([5e-324, 0.0], [2.0, 0.0]), ([0.0, 0.0], [0.0, 0.0])],
)
def test_only_the_ratio_of_weights_matters(weights, expected) -> None:
    assert relative(np.array(weights)).tolist() == pytest.approx(expected)
