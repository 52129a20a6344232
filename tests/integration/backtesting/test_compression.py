"""In a backtest a student serves after so many updates, and the student or its teacher goes on learning."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cl.backtesting.backtest import BacktestPlan, backtest
from cl.backtesting.compression import compress, learner_of
from cl.config import Config
from cl.errors import InputError
from cl.models.persistence import load_learner
from cl.training.train import train
from tests.support.tiny import made_sentences

ROWS = {name: made_sentences(labels, 60, seed=at, prefix=name) for at, (name, labels) in enumerate(
    {"a": ["loan", "fee"], "b": ["box", "lamp"]}.items())}  # fmt: skip


def rows_of(ids, split) -> pd.DataFrame:
    return pd.concat([ROWS[one] for one in ids], ignore_index=True) if ids else ROWS["a"][:0]


@pytest.fixture
def config(tiny_config):
    def make(**distil: object) -> Config:
        student = {"layers": 1, "vocabulary": 40}
        return tiny_config(strategy="replay", distil={"student": student, "epochs": 2, "learning_rate": 3e-3, **distil})

    return make


def learnt(config: Config, folder: Path, *, champion: Path | None, new: str, past: list[str]) -> int:
    train(config, champion=champion, new=[new], past=past, rows_of=rows_of, folder=folder)
    return compress(config, folder, updates=1 + len(past), learnt=[*past, new], rows_of=rows_of)


def test_without_a_number_of_updates_nothing_is_derived(config, tmp_path) -> None:
    assert learnt(config(), tmp_path / "0", champion=None, new="a", past=[]) == 0
    assert learner_of(tmp_path / "0") == tmp_path / "0" and load_learner(tmp_path / "0").depth == 2


def test_the_student_learns_on(config, tmp_path) -> None:
    wanted = config(when={"updates": 1}, forms=["student"])
    assert learnt(wanted, tmp_path / "0", champion=None, new="a", past=[]) == 120
    assert load_learner(tmp_path / "0").depth == 1 and learner_of(tmp_path / "0") == tmp_path / "0"
    assert learnt(wanted, tmp_path / "1", champion=learner_of(tmp_path / "0"), new="b", past=["a"]) == 0
    assert load_learner(tmp_path / "1").depth == 1, "what has learnt is small already"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_the_teacher_learns_on_and_every_update_has_its_student(config, tmp_path) -> None:
    wanted = config(when={"updates": 1}, then="teacher", forms=["student", "int8"])
    learnt(wanted, tmp_path / "0", champion=None, new="a", past=[])
    served, learns = load_learner(tmp_path / "0"), load_learner(learner_of(tmp_path / "0"))
    assert (served.depth, served.is_int8) == (1, True) and (learns.depth, learns.is_int8) == (2, False)
    assert learnt(wanted, tmp_path / "1", champion=learner_of(tmp_path / "0"), new="b", past=["a"]) == 240
    assert load_learner(tmp_path / "1").labels == load_learner(learner_of(tmp_path / "1")).labels
    assert len(load_learner(tmp_path / "1").labels) == 4


@pytest.mark.nightly
def test_of_several_forms_the_last_serves_and_what_is_in_floats_learns(config, tmp_path) -> None:
    wanted = config(when={"updates": 1}, forms=["student", "int8", "onnx", "onnx-int8"])
    learnt(wanted, tmp_path / "0", champion=None, new="a", past=[])
    served, learns = load_learner(tmp_path / "0"), load_learner(learner_of(tmp_path / "0"))
    assert (served.depth, served.is_int8, served.graph is not None) == (1, True, True)
    assert (learns.depth, learns.is_int8, learns.graph) == (1, False, None)


def test_how_often_must_be_said_before_ways_are_compared(config, tmp_path) -> None:
    made_sentences(["loan"], 30).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"--then teacher: set distil.when.updates"):
        backtest(
            config(),
            tmp_path / "a.csv",
            BacktestPlan(baselines=False, strategies=[], policies=["always"], seeds=[1], then=["teacher"]),
            out=tmp_path,
        )


@pytest.mark.nightly
def test_never_student_and_teacher_are_compared_in_one_backtest(config, tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for seed, (name, labels) in enumerate({"a": ["loan", "fee"], "b": ["box", "lamp"]}.items()):
        rows = made_sentences(labels, 120, seed=seed, prefix=name)
        rows.to_csv(data / f"{name}.csv", index=False)
    ways = ["never", "student", "teacher"]
    settings = config(when={"updates": 1}, forms=["student"])
    enough = settings.training.model_copy(update={"epochs": 20, "learning_rate": 3e-3})
    found = backtest(
        settings.model_copy(update={"training": enough}),
        data,
        BacktestPlan(baselines=False, strategies=[], policies=["always"], seeds=[1], then=ways),
        out=tmp_path / "out",
    )
    assert [one.name for one in found] == [f"replay-{way}" for way in ways] and not any(one.failures for one in found)
    size = {one.name: one.version_bytes for one in found}
    assert size["replay-student"] < size["replay-never"] < size["replay-teacher"]
