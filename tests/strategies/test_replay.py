from __future__ import annotations

import pytest
from pydantic import ValidationError

from cl.strategies import State
from cl.strategies.replay import Replay
from cl.training.learner import new_learner


def test_the_buffer_never_exceeds_its_rows_and_keeps_every_class(tiny_config, update_of, sentences) -> None:
    learner, replay, state = new_learner(tiny_config()), Replay(rows=12), State()
    for number, labels in enumerate((["loan", "fee"], ["box"], ["lamp", "shoe"])):
        state = replay.remember(update_of(learner, sentences(labels, 30, seed=number), state))
        assert len(state.rows) <= 12
    assert set(state.rows["label"]) == {"loan", "fee", "box", "lamp", "shoe"}
    assert state.seen == 90


def test_an_epoch_recalls_at_most_ratio_times_the_new_rows(update_of, sentences) -> None:
    state = State(rows=sentences(["loan"], 100))
    update = update_of(None, sentences(["fee"], 10), state)
    recalled = Replay(ratio=2.0).recall(update)
    assert len(recalled) == 20 and recalled["id"].is_unique
    assert set(Replay(ratio=2.0).recall(update)["id"]) != set(recalled["id"])


def test_a_first_experience_recalls_nothing(update_of, sentences) -> None:
    assert Replay().recall(update_of(None, sentences(["fee"], 10))) is None


def test_a_buffer_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match="no buffer 'reservoire'; did you mean 'reservoir'"):
        Replay(buffer="reservoire")
