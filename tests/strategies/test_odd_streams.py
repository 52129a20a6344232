"""Streams that no benchmark has and every user meets: one class, one row of a class, one text over and over."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cl import plugins
from cl.train import train
from cl.training.inference import answer
from cl.training.learner import load_learner

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
        model = {"name": str(tiny_model), "tuning": "lora" if name == "o_lora" else "full"}
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


@pytest.mark.parametrize("name", plugins.names("strategies"))
def test_one_class_then_a_class_of_one_row_and_a_text_without_end(name, learnt, sentences) -> None:
    first = sentences(["loan"], 12, prefix="a")
    first.loc[0, "text"] = "loan " * 20_000
    second = pd.concat([sentences(["fee"], 12, prefix="b"), sentences(["box"], 1, prefix="c")], ignore_index=True)
    learner, rows = learnt(name, {"one": first, "two": second})
    answers = answer(learner, rows)
    assert learner.labels == ["loan", "box", "fee"] and set(answers.values) <= set(learner.labels)
    assert all(0 < one.confidence <= 1 for one in answers.predictions)


@pytest.mark.parametrize("name", plugins.names("strategies"))
def test_one_text_over_and_over(name, learnt) -> None:
    def same(prefix: str, label: str) -> pd.DataFrame:
        ids = [f"{prefix}{n}" for n in range(12)]
        return pd.DataFrame({"id": ids, "text": "the same words", "label": label, "date": None})

    learner, rows = learnt(name, {"one": same("a", "x"), "two": same("b", "x")})
    assert set(answer(learner, rows).values) == {"x"}
