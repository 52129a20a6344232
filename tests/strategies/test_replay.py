from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cl.strategies import Lesson, State
from cl.strategies.replay import Replay
from cl.training.learner import new_learner


def lesson_of(rows) -> Lesson:
    return Lesson(rows=rows, past=lambda: rows.iloc[:0], rng=np.random.default_rng(0))


def test_the_buffer_never_exceeds_its_rows_and_keeps_every_class(tiny_config, sentences) -> None:
    learner, replay, state = new_learner(tiny_config()), Replay(rows=12), State()
    for number, labels in enumerate((["loan", "fee"], ["box"], ["lamp", "shoe"])):
        state = replay.remember(state, lesson_of(sentences(labels, 30, seed=number)), learner)
        assert len(state.rows) <= 12
    assert set(state.rows["label"]) == {"loan", "fee", "box", "lamp", "shoe"}
    assert state.seen == 90


def test_an_epoch_recalls_at_most_ratio_times_the_new_rows(sentences) -> None:
    state = State(rows=sentences(["loan"], 100))
    lesson = lesson_of(sentences(["fee"], 10))
    recalled = Replay(ratio=2.0).recall(state, lesson)
    assert len(recalled) == 20 and recalled["id"].is_unique
    assert set(Replay(ratio=2.0).recall(state, lesson)["id"]) != set(recalled["id"])


def test_a_first_experience_recalls_nothing(sentences) -> None:
    assert Replay().recall(State(), lesson_of(sentences(["fee"], 10))) is None


def test_a_buffer_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match="no buffer 'reservoire'; did you mean 'reservoir'"):
        Replay(buffer="reservoire")
