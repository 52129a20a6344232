"""What holds for every file in cl/tasks, also for those that are yet to come."""

from __future__ import annotations

import numpy as np
import pytest

from cl import plugins
from cl.models.inference import answer
from cl.tasks import Capability
from tests.support.task_rows import made_rows, task_of

TASKS = plugins.names("tasks")
ANSWERING = [name for name in TASKS if not task_of(name).measures_texts]
"""Those whose rows bring an answer."""


def answers_of(task, rows) -> list:
    """The true answers, as a model would give them."""
    return [list(value) if isinstance(value, list | np.ndarray) else value for value in rows[task.schema.answer.name]]


@pytest.mark.parametrize("name", ANSWERING)
def test_the_true_answers_are_right_whatever_is_measured(name) -> None:
    task = task_of(name)
    rows = made_rows(task, ["loan", "fee"], 12)
    true = answers_of(task, rows)
    assert task.row_scores(rows, true).tolist() == [1.0] * 12
    scores = task.score(rows, true)
    assert scores[task.metric] == task.main_score(rows, true) == 1.0 and set(scores.values()) == {1.0}
    if Capability.LABELS in task.provides:
        assert set(task.class_scores(rows, true).values()) == {1.0}
        assert all(own["f1"] == own["precision"] == own["recall"] == 1.0 for own in task.per_class(rows, true).values())


@pytest.mark.parametrize("name", ANSWERING)
def test_answers_to_other_rows_are_scored_from_0_to_1_and_none_of_it_without_rows(name) -> None:
    task = task_of(name)
    rows, others = (made_rows(task, ["loan", "fee", "box"], 12, seed=seed) for seed in (0, 1))
    wrong = answers_of(task, others)[::-1]
    scores = task.row_scores(rows, wrong)
    assert len(scores) == 12 and ((scores >= 0) & (scores <= 1)).all() and scores.mean() < 1
    assert all(0 <= value <= 1 for value in task.score(rows, wrong).values())
    assert task.score(rows.iloc[:0], []) == {}


@pytest.mark.parametrize("name", ANSWERING)
def test_every_row_has_a_text_and_every_answer_a_description(name) -> None:
    task = task_of(name)
    rows = made_rows(task, ["loan", "fee"], 12)
    assert all(isinstance(text, str) and text for text in task.texts(rows))
    described = [task.describe(value) for value in answers_of(task, rows)]
    assert all(isinstance(text, str) and text for text in described) and len(set(described)) > 1


@pytest.mark.parametrize("name", [name for name in TASKS if Capability.LABELS in task_of(name).provides])
def test_the_classes_of_rows_are_among_the_names_of_the_labels(name) -> None:
    task = task_of(name)
    rows = made_rows(task, ["loan", "fee"], 12)
    labels, classes = task.labels(rows), task.classes(rows)
    assert len(classes) == 12 and classes.index.equals(rows.index)
    separator = task.class_separator
    names = {part for own in classes for part in ([own] if separator is None else own.split(separator))}
    assert names <= set(task.class_names(labels)) and {"loan", "fee"} <= names
    assert set(task.per_class(rows, answers_of(task, rows))) <= set(task.scored_classes(labels))


@pytest.mark.parametrize("name", TASKS)
def test_an_answer_is_the_same_alone_after_loading_and_from_an_input_alone(name, versions) -> None:
    made = versions(name)
    (_, learner), rows = made.learners, made.rows("one", "test")
    together = answer(learner, rows)
    assert all(0 < prediction.confidence <= 1 for prediction in together.predictions)
    assert together.brier.min() >= 0 and together.brier.max() <= 2 and np.isfinite(together.loss)
    inputs = rows[[column.name for column in made.task.schema.inputs]]
    for row, expected in enumerate(together.predictions):
        (alone,) = answer(learner, inputs.iloc[row : row + 1].reset_index(drop=True)).predictions
        assert made.task.describe(alone.value) == made.task.describe(expected.value)
        assert alone.confidence == pytest.approx(expected.confidence, abs=1e-4)
