from __future__ import annotations

import asyncio
from pathlib import Path

import pandas as pd
import pytest

from cl.commands.status import count_new_feedback
from cl.config import Config, parse
from cl.config.serving import ServingLogSettings
from cl.errors import SourceError
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.sources.serving import Serving
from cl.serving.prediction_log import PredictionLog
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder
from cl.tasks.question_answering import QuestionAnswering
from cl.tasks.text_classification import TextClassification
from cl.tasks.token_classification import TokenClassification

ELSEWHERE = parse({"data": {"id": None, "text": "message", "join": ["title"], "label": "intent"}}, where="test")
"""Files of this project have other columns; the log has its own."""


def answer(root: Path, texts: dict[str, object], labels: dict[str, object] | None = None) -> None:
    """Log answers by id, then say what was right; None: never asked."""
    words = any(isinstance(one, list) for one in (*texts.values(), *(labels or {}).values()))
    log = PredictionLog(
        ProjectFolder(root), ServingLogSettings(), TokenClassification() if words else TextClassification()
    )
    inputs = {id: {"text": one} if isinstance(one, str) else {"tokens": one} for id, one in texts.items()}
    every = {"recorded_at": 1_780_000_000.0, "version": "1", "role": "champion", "label": "a", "confidence": 0.5}
    log.record([{"id": id, **every, **one} for id, one in inputs.items()])
    for id, label in (labels or {}).items():
        asyncio.run(log.feedback(id, label))  # type: ignore[arg-type]
    log.close()


def ingested(root: Path, config: Config = ELSEWHERE, *, min_rows: int = 1) -> list[dict[str, str]]:
    """Return id and answer of the rows of each new experience."""
    project = ProjectFolder(root)
    made = ingest(config, project, Serving(min_rows=min_rows))
    parts = [pd.concat([Experiences(project).rows(one.id, split) for split in one.rows]) for one in made]
    return [{row.id: row.label for row in part.itertuples()} for part in parts]


def test_labelled_predictions_become_an_experience_once(tmp_path) -> None:
    answer(tmp_path, {"a": "lost card", "b": "where is it", "c": "late parcel"}, {"a": "loss", "b": "parcel"})
    assert ingested(tmp_path) == [{"a": "loss", "b": "parcel"}]
    assert ingested(tmp_path) == []
    answer(tmp_path, {}, {"c": "parcel"})
    assert ingested(tmp_path) == [{"c": "parcel"}], "a label that comes late finds its prediction"
    assert [one.id for one in Experiences(ProjectFolder(tmp_path)).all()] == ["0001-serving", "0002-serving"]


def test_the_status_counts_feedback_until_it_is_a_row_of_an_experience(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    assert count_new_feedback(project, TextClassification.schema) == 0
    answer(tmp_path, {"a": "lost card", "b": "where is it"}, {"a": "loss"})
    assert count_new_feedback(project, TextClassification.schema) == 1
    ingested(tmp_path)
    assert count_new_feedback(project, TextClassification.schema) == 0
    answer(tmp_path, {"c": "lost card"}, {"b": "parcel", "c": "loss"})
    assert count_new_feedback(project, TextClassification.schema) == 1, "the stream holds the text and the label of c"


def test_a_label_is_the_same_in_whatever_form_of_unicode_it_was_sent(tmp_path) -> None:
    answer(tmp_path, {"a": "lost card", "b": "my card"}, {"a": "caf\u00e9", "b": "cafe\u0301"})
    assert ingested(tmp_path) == [{"a": "caf\u00e9", "b": "caf\u00e9"}]
    answer(tmp_path, {"c": "lost card"}, {"c": "cafe\u0301"})
    assert ingested(tmp_path) == [], "the stream holds this text with this label"


def test_the_last_word_counts_until_a_row_is_in_an_experience(tmp_path) -> None:
    answer(tmp_path, {"a": "lost card", "b": "where is it"}, {"a": "parcel", "b": "parcel"})
    answer(tmp_path, {}, {"a": "loss"})
    assert ingested(tmp_path) == [{"a": "loss", "b": "parcel"}]


def test_a_label_for_what_was_never_logged_is_left_out(tmp_path) -> None:
    answer(tmp_path, {"a": "lost card"}, {"a": "loss", "stranger": "fee"})
    assert ingested(tmp_path) == [{"a": "loss"}]


def test_what_was_set_aside_comes_again_only_with_another_label(tmp_path) -> None:
    answer(
        tmp_path,
        {"a": "x", "b": "same words", "c": "same words", "d": "lost card"},
        dict(zip("abcd", "ffgh", strict=True)),
    )
    assert ingested(tmp_path) == [{"d": "h"}]
    quarantined = Experiences(ProjectFolder(tmp_path)).get("0001-serving").quarantined
    assert quarantined == {"too short": 1, "contradicting labels": 2}
    assert ingested(tmp_path) == []
    answer(tmp_path, {}, {"c": "f"})
    assert ingested(tmp_path) == [{"c": "f"}]


def test_where_no_labelled_row_is_good_nothing_changes(tmp_path) -> None:
    answer(tmp_path, {"a": "x"}, {"a": "f"})
    with pytest.raises(SourceError, match="serving: no good row among 1: too short 1"):
        ingested(tmp_path)


def test_sentences_come_with_their_tags(tmp_path) -> None:
    config = parse({"task": "token_classification", "data": {"tokens": "words"}}, where="test")
    answer(tmp_path, {"a": ["anna", "said"], "b": ["in", "york"]}, {"a": ["B-per", "O"], "b": ["O", "B-loc"]})
    (made,) = ingest(config, ProjectFolder(tmp_path), Serving(min_rows=1))
    rows = pd.concat([Experiences(ProjectFolder(tmp_path)).rows(made.id, split) for split in made.rows])
    assert {row.id: list(row.tags) for row in rows.itertuples()} == {"a": ["B-per", "O"], "b": ["O", "B-loc"]}


def test_unattended_it_waits_for_enough_rows_and_reads_only_when_something_was_said(tmp_path) -> None:
    project, source = ProjectFolder(tmp_path), Serving(min_rows=3)
    assert ingest_settled(ELSEWHERE, project, source, settle=60.0) == [], "nothing was ever served"
    answer(tmp_path, {at: f"lost card {at}" for at in "abcd"}, {"a": "loss", "b": "fee"})
    assert ingest_settled(ELSEWHERE, project, source, settle=60.0) == []
    answer(tmp_path, {}, {"c": "loss"})
    assert [one.total for one in ingest_settled(ELSEWHERE, project, source, settle=60.0)] == [3]
    assert ingest_settled(ELSEWHERE, project, source, settle=60.0) == []


def test_the_right_answer_to_a_question_comes_with_its_start_where_only_one_is_possible(tmp_path) -> None:
    context = "Anna met Ben in York. Ben lives in York."
    said = {"once": ["Anna"], "twice": ["York"], "nowhere": ["Paris"], "none": []}
    project = ProjectFolder(tmp_path)
    log = PredictionLog(project, ServingLogSettings(), QuestionAnswering())
    every = {"recorded_at": 1_780_000_000.0, "version": "1", "role": "champion", "label": ["Ben"], "confidence": 0.5}
    log.record([{"id": id, **every, "question": f"who or what, {id}?", "context": context} for id in said])
    for id, answers in said.items():
        asyncio.run(log.feedback(id, answers))
    log.close()
    config = parse({"task": "question_answering"}, where="test")
    (made,) = ingest(config, project, Serving(min_rows=1))
    rows = pd.concat([Experiences(project).rows(made.id, split) for split in made.rows])
    assert {row.id: list(row.answer_starts) for row in rows.itertuples()} == {"once": [0], "none": []}
    assert made.quarantined == {"an answer that is not exactly once in its text": 2}
    assert ingest(config, project, Serving(min_rows=1)) == [], "what was set aside does not come again"
