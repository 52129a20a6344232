"""A task of columns of any kind learns, answers, compares versions, forgets and changes labels by its schema alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import cl
from cl.commands.diff import compare_versions
from cl.commands.export import export_version
from cl.commands.forget import forget_rows
from cl.commands.ingest import ingest_path
from cl.commands.labels import change_labels, list_labels
from cl.commands.predict import predict_file, predict_texts
from cl.commands.quarantine import export_quarantine
from cl.commands.run import run_cycles
from cl.commands.status import read_status
from cl.errors import InputError
from cl.revision.plan_labels import WantedChange
from cl.stores.data.experiences import Experiences
from cl.stores.predictions.logged_values import to_log
from cl.stores.predictions.predictions import Predictions
from tests.support.kinds import TASKS, made_rows, offered  # noqa: F401
from tests.support.tiny import tiny_project

pytestmark = pytest.mark.usefixtures("offered")


def write(folder: Path, rows: pd.DataFrame, name: str) -> str:
    path = folder / f"{name}.jsonl"
    rows.to_json(path, orient="records", lines=True)
    return str(path)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_learned_answers_and_is_exported(name, tmp_path, tiny_model) -> None:
    task = TASKS[name]
    schema = task.schema
    project = tiny_project(tmp_path / "shop", tiny_model, task=name, decide={"min_rows": 1})
    root = project.root
    broken = made_rows(name, 1, seed=7).astype(object).assign(**{schema.answer.name: None})
    ingest_path(root, write(tmp_path, pd.concat([made_rows(name, 120, seed=1), broken]), "one"))
    run_cycles(root, again=None, runner="plain")
    assert read_status(root)["champion"] is not None

    asked = made_rows(name, 3, seed=3)
    inputs = asked[schema.input_names].to_dict("records")
    words = [row["text"] for row in inputs] if schema.input else [json.dumps(row) for row in inputs]
    answers = predict_texts(root, words)
    assert [answer["text"] for answer in answers] == words
    if schema.input is None:
        with pytest.raises(InputError, match=r"is no JSON object with the inputs of the task; write it as \{"):
            predict_texts(root, ["where is anna?"])
        with pytest.raises(InputError, match=f"{schema.input_names[1]} is missing"):
            predict_texts(root, [json.dumps({schema.input_names[0]: "a"})])
    done = predict_file(root, write(tmp_path, asked, "asked"), tmp_path / "out.csv")
    assert done["answered"] == 3 and len(pd.read_csv(tmp_path / "out.csv")) == 3

    export_quarantine(root, tmp_path / "broken.csv")
    assert set(pd.read_csv(tmp_path / "broken.csv").columns) >= {"id", *schema.names}

    export_version(root, "1", tmp_path / "exported")
    example = (tmp_path / "exported" / "README.md").read_text()
    line = next(line for line in example.splitlines() if line.startswith("print(version.predict("))
    version = cl.load_version(tmp_path / "exported")
    assert len(eval(line.removeprefix("print(").removesuffix(")"), {"version": version})) == 1

    compared = compare_versions(root, "1", "1")
    assert {entry["name"] for entry in compared["experiences"]} >= {"all", "0001-one"}
    assert bool(compared["classes"]) == schema.answer.kind.names_classes


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_forgotten_and_labels_renamed(name, tmp_path, tiny_model) -> None:
    schema = TASKS[name].schema
    project = tiny_project(tmp_path / "shop", tiny_model, task=name)
    root, asked = project.root, made_rows(name, 2, seed=3)
    broken = made_rows(name, 1, seed=7).astype(object).assign(**{schema.answer.name: None})
    ingest_path(root, write(tmp_path, pd.concat([made_rows(name, 120, seed=1), broken]), "one"))
    logged = asked.drop(columns=[column.name for column in (schema.answer, *schema.further)])
    shared = {"prediction": "", "confidence": 0.5, "version": "1", "recorded_at": "2026-01-01T00:00:00+00:00"}
    Predictions(project).append(to_log(logged.assign(date=None, **shared), schema))

    first = Experiences(project).rows("0001-one", "train").iloc[0]
    chosen = f"id == '{first['id']}' or id == 'r3-0' or id == 'r7-0'"
    forgotten = forget_rows(root, chosen, why="asked", everywhere=True, dry_run=False)
    assert forgotten["removal"]["rows"] == {"0001-one": {"train": 1}} and forgotten["removal"]["answers"] == 1
    assert forgotten["removal"]["quarantined"] == 1
    assert Experiences(project).get("0001-one").forgotten == 1

    labels = list_labels(root)["labels"]
    assert bool(labels) == schema.answer.kind.names_classes
    if schema.answer.kind.names_classes:
        old = next(iter(labels))
        change_labels(root, WantedChange(kind="rename", labels=[old], into=["renamed"], why="test"), dry_run=False)
        after = list_labels(root)["labels"]
        assert after == {("renamed" if label == old else label): after.get(label, after["renamed"]) for label in labels}
        (later,) = ingest_path(root, write(tmp_path, made_rows(name, 9, seed=4), "later"))
        assert "renamed" in later.labels and old not in later.labels
