from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from cl.models.build import new_learner
from cl.models.inference import answer
from cl.training.strategies import State
from cl.training.strategies.replay import Replay


def test_the_buffer_never_exceeds_its_rows_and_keeps_every_class(tiny_config, update_of, sentences) -> None:
    learner, replay, state = new_learner(tiny_config()), Replay(rows=12), State()
    for number, labels in enumerate((["loan", "fee"], ["box"], ["lamp", "shoe"])):
        state = replay.end(update_of(learner, sentences(labels, 30, seed=number), state))
        assert len(state.rows) <= 12
    assert set(state.rows["label"]) == {"loan", "fee", "box", "lamp", "shoe"}
    assert state.seen == 90


def test_an_epoch_recalls_at_most_ratio_times_the_new_rows(learner, update_of, sentences) -> None:
    state = State(rows=sentences(["loan"], 100))
    update = update_of(learner, sentences(["fee"], 10), state)
    recalled = Replay(ratio=2.0).epoch_rows(update).past
    assert len(recalled) == 20 and recalled["id"].is_unique
    assert set(Replay(ratio=2.0).epoch_rows(update).past["id"]) != set(recalled["id"])


def test_a_first_experience_recalls_nothing(learner, update_of, sentences) -> None:
    assert Replay().epoch_rows(update_of(learner, sentences(["fee"], 10))).past is None


def test_a_buffer_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match="no buffer 'reservoire'; did you mean 'reservoir'"):
        Replay(buffer="reservoire")


def test_a_budget_in_bytes_holds_on_top_of_the_rows(tiny_config, update_of, sentences) -> None:
    learner, rows = new_learner(tiny_config()), sentences(["loan", "fee"], 40)
    assert len(Replay(rows=10, bytes=10**6).end(update_of(learner, rows)).rows) == 10
    for buffer in ("class_balanced", "reservoir"):
        state, replay = State(), Replay(rows=1_000, bytes=600, buffer=buffer)
        for number in range(3):
            state = replay.end(update_of(learner, sentences(["loan", "fee"], 40, seed=number), state))
            taken = sum(len(text.encode()) for text in state.rows["text"])
            assert 400 < taken <= 600
        assert state.rows["id"].is_unique


def test_bytes_are_those_of_utf_8_and_a_text_that_is_too_long_is_not_kept(tiny_config, update_of, sentences) -> None:
    learner, rows = new_learner(tiny_config()), sentences(["loan"], 2).assign(text=["äää", "äääääää"])  # 6 and 14 bytes
    assert len(Replay(bytes=20).end(update_of(learner, rows)).rows) == 2
    assert len(Replay(bytes=19).end(update_of(learner, rows)).rows) == 1
    assert len(Replay(bytes=5).end(update_of(learner, rows)).rows) == 0


def test_under_a_budget_in_bytes_a_reservoir_still_gives_old_and_new_rows_the_same_chance(
    tiny_config, update_of, sentences
) -> None:
    learner, replay, old = new_learner(tiny_config()), Replay(rows=1_000, bytes=400, buffer="reservoir"), []
    for seed in range(60):
        state = State()
        for number in range(4):
            rows = sentences(["loan"], 25, seed=number, prefix=f"{number}-").assign(text="ten bytes.")
            state = replay.end(update_of(learner, rows, state, seed=seed * 4 + number))
        old.append(state.rows["id"].str.startswith("0-").mean())
    assert len(state.rows) == 40
    # a quarter of the 40 rows: the mean over 60 rounds strays by about 0.25 * 0.75 / 40, root, over root 60
    assert abs(sum(old) / len(old) - 0.25) < 4 * (0.25 * 0.75 / 40 / 60) ** 0.5


@pytest.mark.parametrize("buffer", ["herding", "uncertain"])
def test_a_buffer_that_looks_at_rows_is_shown_what_the_model_sees(learner, update_of, sentences, buffer) -> None:
    state, replay = State(), Replay(rows=6, bytes=400, buffer=buffer)
    for number in range(2):
        rows = sentences(["loan", "fee"], 12, seed=number)
        state = replay.end(update_of(learner, rows, state, seed=number))
    assert state.rows["class"].value_counts().to_dict() == {"loan": 3, "fee": 3}
    if buffer == "uncertain":
        both = pd.concat([sentences(["loan", "fee"], 12, seed=number) for number in range(2)])
        confidence = pd.Series([one.confidence for one in answer(learner, both).predictions], index=both["id"])
        assert set(state.rows["id"]) == {
            row
            for label in ("loan", "fee")
            for row in confidence[(both["label"] == label).to_numpy()].nsmallest(3).index
        }
