"""A task of columns of any kind is ingested, set aside, read again, corrected and forgotten by its schema alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cl import plugins
from cl.config import Config, parse
from cl.config.serving import ServingLogSettings
from cl.errors import ConfigError, SourceError
from cl.ingestion.ingest import ingest
from cl.ingestion.late_labels import LateLabels
from cl.ingestion.quarantine import read_quarantine
from cl.ingestion.sources.files import Files
from cl.ingestion.sources.serving import Serving
from cl.records import SPLITS, Experience
from cl.serving.prediction_log import PredictionLog
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import load_known
from cl.stores.data.removal import logged_rows
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Task
from tests.support.kinds import TASKS, made_rows, offered  # noqa: F401

pytestmark = pytest.mark.usefixtures("offered")


def configured(task: str, **data: Any) -> Config:
    return parse({"task": task, "data": data}, where="test")


def read(root: Path, rows: pd.DataFrame | str, task: str, **data: Any) -> list[Experience]:
    """Ingest rows from a file: JSON lines, or a text as CSV."""
    path = root / ("rows.csv" if isinstance(rows, str) else "rows.jsonl")
    if isinstance(rows, str):
        path.write_text(rows)
    else:
        rows.to_json(path, orient="records", lines=True)
    return ingest(configured(task, **data), ProjectFolder(root), Files(path=str(path)))


def stored(root: Path) -> pd.DataFrame:
    store = Experiences(ProjectFolder(root))
    parts = [store.rows_of(store.ids(), split).assign(split=split) for split in SPLITS]
    return pd.concat(parts, ignore_index=True).set_index("id")


def plain(value: Any) -> Any:
    return value if isinstance(value, str) or value is None else list(value)


@pytest.mark.parametrize("name", TASKS)
def test_rows_of_every_task_are_stored_as_they_came_and_known_when_they_come_again(name, tmp_path) -> None:
    rows = made_rows(name, 40)
    (made,) = read(tmp_path, rows, name)
    assert (made.total, made.quarantined) == (40, {})
    held = stored(tmp_path)
    for column in TASKS[name].schema.names:
        given = rows.set_index("id")[column].map(plain)
        assert held[column].map(plain).reindex(given.index).tolist() == given.tolist()
    assert read(tmp_path, rows, name) == []
    project = ProjectFolder(tmp_path)
    cached = load_known(project, TASKS[name].schema).contents[0].copy()
    for file in (project.work / "known").iterdir():
        file.unlink()
    again = load_known(project, TASKS[name].schema).contents[0]
    assert sorted(again) == sorted(cached), "values are hashed alike when they are read back from data/"


def test_the_order_of_labels_makes_no_other_row_and_their_change_makes_one(tmp_path) -> None:
    first = pd.DataFrame({"id": ["a", "b"], "text": ["card and fee", "a loan"], "labels": [["fee", "card", "fee"], []]})
    (made,) = read(tmp_path, first, "topics")
    assert made.labels == {"card": 1, "fee": 1}
    assert plain(stored(tmp_path).loc["a", "labels"]) == ["card", "fee"]
    assert read(tmp_path, first.assign(labels=[["card", "fee"], []]), "topics") == []
    changed = pd.concat([first.assign(labels=[["card"], []]), made_rows("topics", 3)])
    (later,) = read(tmp_path, changed, "topics")
    assert later.quarantined == {"known id with another text or label": 1}


def test_cells_of_a_table_hold_lists_in_json_or_separated(tmp_path) -> None:
    table = 'id,text,labels\na,my card,card; fee|loan\nb,my fee,"[""fee, late""]"\nc,my loan,[]\nd,my box,\n'
    (made,) = read(tmp_path, table, "topics")
    assert made.quarantined == {"missing label": 1}
    assert stored(tmp_path)["labels"].map(plain).to_dict() == {
        "a": ["card", "fee", "loan"],
        "b": ["fee, late"],
        "c": [],
    }


@pytest.mark.parametrize(
    ("task", "changes", "reason"),
    [
        ("topics", {"labels": None}, "missing label"),
        ("topics", {"labels": [["fee"]]}, "label is no text"),
        ("topics", {"labels": ["x" * 501]}, "label too long"),
        ("topics", {"text": " "}, "missing text"),
        ("topics", {"text": "x" * 5_001}, "too long"),
        ("relations", {"head": None}, "missing head"),
        ("relations", {"head": "anna"}, "head is no span: two integers"),
        ("relations", {"head": [3, 3]}, "head is outside of the text"),
        ("relations", {"tail": [4, 400]}, "tail is outside of the text"),
        ("relations", {"tail": [-1, 4]}, "tail is outside of the text"),
        ("relations", {"relation": ""}, "missing label"),
        ("relations", {"relation": ["near", "lives_in"]}, "more than one label"),
        ("questions", {"question": None}, "missing question"),
        ("questions", {"context": "x" * 5_001}, "context too long"),
        ("questions", {"answers": None}, "missing answers"),
        ("questions", {"answers": [["york"]]}, "answers is no list of texts"),
        ("questions", {"answers": ["x" * 5_001]}, "answers too long"),
        ("questions", {"answer_starts": [1.5]}, "answer_starts is no list of integers"),
        ("questions", {"answer_starts": [1, 2, 3]}, "answers and answer_starts differ in length"),
    ],
)
def test_a_row_with_a_broken_value_is_set_aside_with_the_reason(task, changes, reason, tmp_path) -> None:
    rows = made_rows(task, 6).to_dict("records")
    rows[4] |= changes
    (made,) = read(tmp_path, pd.DataFrame(rows), task)
    assert (made.total, made.quarantined) == (5, {reason: 1})


def test_a_row_that_was_set_aside_comes_back_mended(tmp_path) -> None:
    rows = made_rows("relations", 6)
    broken = rows.to_dict("records")
    broken[2]["relation"] = None
    read(tmp_path, pd.DataFrame(broken).assign(id=[f"x{n}" for n in range(6)]), "relations")
    (mended,) = read(tmp_path, rows.iloc[[2]], "relations")
    (row,) = read_quarantine(configured("relations"), ProjectFolder(tmp_path))
    assert row.returned == mended.id, "its text and both parts are the same, though its id is another"


@pytest.mark.parametrize(
    ("written", "read_as"), [("0:4", [0, 4]), ("[0, 4]", [0, 4]), ('{"start": 0, "end": 4}', [0, 4])]
)
def test_a_span_is_read_in_each_of_its_forms(written, read_as, tmp_path) -> None:
    rows = made_rows("relations", 2).assign(head=[written, [0, 4]])
    read(tmp_path, rows, "relations")
    assert plain(stored(tmp_path).loc["r0-0", "head"]) == read_as


def test_a_text_whose_characters_are_counted_keeps_its_blanks(tmp_path) -> None:
    rows = pd.DataFrame(
        {"id": ["a"], "text": ["  anna in york "], "head": [[2, 6]], "tail": [[10, 14]], "relation": ["in"]}
    )
    read(tmp_path, rows, "relations")
    row = stored(tmp_path).loc["a"]
    assert row["text"][slice(*row["head"])] == "anna" and row["text"][slice(*row["tail"])] == "york"


def test_answers_come_as_a_list_as_one_text_and_as_an_object_of_texts_and_starts(tmp_path) -> None:
    rows = made_rows("questions", 3).assign(answers=["york", ["a", "b"], {"text": ["c"], "answer_start": [3]}])
    rows["answer_starts"] = [None, [1, 2], {"text": ["c"], "answer_start": [3]}]
    read(tmp_path, rows, "questions")
    held = stored(tmp_path).sort_index()
    assert held["answers"].map(plain).tolist() == [["york"], ["a", "b"], ["c"]]
    assert held["answer_starts"].map(plain).tolist() == [None, [1, 2], [3]]


def test_a_column_that_may_be_missing_need_not_be_there(tmp_path) -> None:
    (made,) = read(tmp_path, made_rows("questions", 5).drop(columns="answer_starts"), "questions")
    assert made.total == 5 and stored(tmp_path)["answer_starts"].isna().all()


def test_rows_with_one_context_lie_in_one_split(tmp_path) -> None:
    rows = pd.DataFrame(
        {
            "question": [f"where is number {index}?" for index in range(60)],
            "context": [f"it is in box {index % 3}" for index in range(60)],
            "answers": [["box"]] * 60,
        }
    ).assign(id=[str(index) for index in range(60)])
    read(tmp_path, rows, "questions")
    assert stored(tmp_path).groupby("context")["split"].nunique().tolist() == [1, 1, 1]


def test_the_columns_of_a_source_may_have_other_names(tmp_path) -> None:
    rows = made_rows("questions", 8).rename(columns={"question": "query", "answers": "gold"})
    (made,) = read(tmp_path, rows, "questions", columns={"question": "query", "answers": "gold"})
    assert made.total == 8
    with pytest.raises(SourceError, match=r"no column 'answers'; .* set data.columns.answers in cl.yaml"):
        read(tmp_path, rows, "questions", columns={"question": "query"})


@pytest.mark.parametrize(
    ("task", "data", "problem"),
    [
        (
            "questions",
            {"columns": {"query": "q"}},
            "task 'questions' has no column 'query'; there are: question, context",
        ),
        ("relations", {"columns": {"text": "body"}}, "'text' has a setting of its own; set data.text"),
        ("text_classification", {"columns": {"head": "h"}}, "task 'text_classification' has no column 'head'"),
        ("relations", {"keep": ["head"]}, "data.keep: 'head' is a column of task 'relations'"),
        ("questions", {"join": ["title"]}, "data.join: task 'questions' has several inputs, question, context"),
    ],
)
def test_what_does_not_fit_the_columns_of_the_task_is_refused(task, data, problem) -> None:
    with pytest.raises(ConfigError, match=problem):
        configured(task, **data)


def logged(root: Path, name: str, rows: pd.DataFrame, answers: list[Any]) -> None:
    """Log a prediction for each row, and the answer as its feedback."""
    task: Task = plugins.build(Task, name)
    log = PredictionLog(ProjectFolder(root), ServingLogSettings(), task)
    shared = {"recorded_at": 1_780_000_000.0, "version": "1", "role": "champion", "confidence": 0.5}
    inputs = rows[["id", *task.schema.input_names]].to_dict("records")
    log.record([{**row, **shared, "label": answer} for row, answer in zip(inputs, answers, strict=True)])
    for id, answer in zip(rows["id"], answers, strict=True):
        asyncio.run(log.feedback(id, answer))
    log.close()


@pytest.mark.parametrize("name", TASKS)
def test_logged_rows_with_feedback_become_an_experience_and_corrected_ones_replace_them(name, tmp_path) -> None:
    rows, task = made_rows(name, 6), TASKS[name]
    answer = task.schema.answer.name
    logged(tmp_path, name, rows, rows[answer].tolist())
    config, project = configured(name, columns={}), ProjectFolder(tmp_path)
    (made,) = ingest(config, project, Serving(min_rows=1))
    assert made.total == 6
    held = stored(tmp_path)
    for column in (*task.schema.input_names, answer):
        assert held[column].map(plain).reindex(rows["id"]).tolist() == rows[column].map(plain).tolist()
    assert ingest(config, project, Serving(min_rows=1)) == []
    (seen,) = {frozenset(logged_rows(project, task.schema).columns)}
    assert {"id", *task.schema.input_names, "date"} <= seen

    corrected = {"topics": ["card"], "relations": "elsewhere", "questions": ["paris", "in paris"]}[name]
    logged(tmp_path, name, rows.iloc[[0]], [corrected])
    taking = configured(name, corrections="take")
    (later,) = ingest(taking, project, Serving(min_rows=1))
    assert later.total == 1 and plain(stored(tmp_path).loc["r0-0", answer]) == corrected


@pytest.mark.parametrize("name", TASKS)
def test_late_labels_join_the_logged_inputs(name, tmp_path) -> None:
    rows, task = made_rows(name, 5), TASKS[name]
    logged(tmp_path, name, rows, rows[task.schema.answer.name].tolist())
    rows[["id", task.schema.answer.name]].to_json(tmp_path / "late.jsonl", orient="records", lines=True)
    source = LateLabels(path=str(tmp_path / "late.jsonl"), label=task.schema.answer.name)
    (made,) = ingest(configured(name), ProjectFolder(tmp_path), source)
    assert made.total == 5
    held = stored(tmp_path)
    for column in task.schema.input_names:
        assert held[column].map(plain).reindex(rows["id"]).tolist() == rows[column].map(plain).tolist()


def test_what_is_logged_names_nobody_and_spans_keep_to_their_words(tmp_path) -> None:
    rows = pd.DataFrame(
        {"id": ["a"], "text": ["write anna.b@mail.org: anna is in york"], "head": [[23, 27]], "tail": [[34, 38]]}
    )
    logged(tmp_path, "relations", rows, ["lives_in"])
    (row,) = logged_rows(ProjectFolder(tmp_path), TASKS["relations"].schema).to_dict("records")
    assert row["text"] == "write <EMAIL>: anna is in york"
    assert [row["text"][slice(*row[name])] for name in ("head", "tail")] == ["anna", "york"]

    logged(tmp_path, "questions", made_rows("questions", 1).assign(question="is it a@b.org?"), [["a@b.org"]])
    kept = b"".join(path.read_bytes() for path in (tmp_path / "predictions").rglob("*.parquet"))
    assert b"a@b.org" not in kept and json.dumps(["<EMAIL>"]).encode() in kept
