"""Streams that no benchmark has and every user meets: one class, one row of a class, one text over and over."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cl import plugins
from cl.errors import InputError
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.training.train import train
from tests.support.task_rows import strategies_for

SMALL = {
    "ranpac": {"name": "ranpac", "features": 64},
    "replay": {"name": "replay", "rows": 1},  # fewer than there are classes
    "der": {"name": "der", "rows": 1},
    "gdumb": {"name": "gdumb", "rows": 1},
    "a_gem": {"name": "a_gem", "rows": 1},
}


@pytest.fixture
def learnt(tiny_config, tiny_model, tmp_path):
    """Learn two experiences, {id: training rows}, and return the last version's learner and all rows."""

    def run(name: str, stream: dict[str, pd.DataFrame]):
        model = {"name": str(tiny_model), "tuning": "lora" if name in ("o_lora", "n_lora", "merge") else "full"}
        config = tiny_config(strategy=SMALL.get(name, name), model=model)

        def rows_of(ids: list[str], split: str) -> pd.DataFrame:
            rows = pd.concat([stream[one] for one in ids] or [next(iter(stream.values())).iloc[:0]], ignore_index=True)
            return rows if split == "train" else rows.iloc[: 0 if split == "validation" else 8]

        champion, past = None, []
        for at, one in enumerate(stream):
            folder = tmp_path / str(at)
            done = train(config, champion=champion, new=[one], past=past, rows_of=rows_of, folder=folder)
            assert all(math.isfinite(loss) for loss in done.losses)
            champion, past = folder, [*past, one]
        return load_learner(champion), rows_of(list(stream), "train")

    return run


@pytest.mark.parametrize("name", strategies_for("text_classification"))
def test_one_class_then_a_class_of_one_row_and_a_text_without_end(name, learnt, sentences) -> None:
    first = sentences(["loan"], 12, prefix="a")
    first.loc[0, "text"] = "loan " * 20_000
    second = pd.concat([sentences(["fee"], 12, prefix="b"), sentences(["box"], 1, prefix="c")], ignore_index=True)
    learner, rows = learnt(name, {"one": first, "two": second})
    answers = answer(learner, rows)
    assert learner.labels == ["loan", "box", "fee"] and set(answers.values) <= set(learner.labels)
    assert all(0 < one.confidence <= 1 for one in answers.predictions)


@pytest.mark.parametrize("name", strategies_for("text_classification"))
def test_one_text_over_and_over(name, learnt) -> None:
    def same(prefix: str, label: str) -> pd.DataFrame:
        ids = [f"{prefix}{n}" for n in range(12)]
        return pd.DataFrame({"id": ids, "text": "the same words", "label": label, "date": None})

    learner, rows = learnt(name, {"one": same("a", "x"), "two": same("b", "x")})
    assert set(answer(learner, rows).values) == {"x"}


@pytest.mark.parametrize("name", strategies_for("text_classification"))
def test_an_experience_of_one_row(name, learnt, sentences) -> None:
    learner, rows = learnt(name, {"one": sentences(["loan"], 1, prefix="a"), "two": sentences(["fee"], 1, prefix="b")})
    assert learner.labels == ["loan", "fee"] and set(answer(learner, rows).values) <= {"loan", "fee"}


@pytest.mark.parametrize("name", strategies_for("text_classification"))
def test_an_experience_without_training_rows_is_refused_where_rows_are_trained_on(name, learnt, sentences) -> None:
    stream = {"one": sentences(["loan", "fee"], 12, prefix="a"), "two": sentences(["loan"], 0)}
    if plugins.find("strategies", name).solves_head:
        learner, rows = learnt(name, stream)
        assert set(answer(learner, rows).values) <= {"loan", "fee"}
    else:
        with pytest.raises(InputError, match=r"no row to train on: .* add more rows, or lower data\.split"):
            learnt(name, stream)


@pytest.mark.parametrize("name", strategies_for("text_classification"))
def test_a_first_experience_without_training_rows_is_refused(name, learnt, sentences) -> None:
    with pytest.raises(InputError, match="no row to train on"):
        learnt(name, {"one": sentences(["loan"], 0)})


def test_a_buffer_too_small_for_any_row_of_those_that_learn_it_alone_is_refused(learnt, sentences, monkeypatch) -> None:
    monkeypatch.setitem(SMALL, "gdumb", {"name": "gdumb", "bytes": 1})
    with pytest.raises(InputError, match="the strategy chooses none; give its buffer more rows or bytes"):
        learnt("gdumb", {"one": sentences(["loan"], 8)})
