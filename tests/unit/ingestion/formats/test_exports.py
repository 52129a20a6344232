"""Exports of annotation tools: what is no label is left out and counted, what cannot be learnt is set aside by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl.errors import SourceError
from cl.ingestion.file_formats import read_chunks
from cl.ingestion.formats.exports._base import SetAsideError, tag_spans, token_offsets
from cl.ingestion.internal_columns import UNREADABLE

TEXT = "Anna Lee's visit to 東京, déjà-vu"


def read(path: Path, records: list[dict]) -> pd.DataFrame:
    path.write_text(json.dumps(records) if path.suffix == ".json" else "\n".join(map(json.dumps, records)))
    return pd.concat(read_chunks(path, 100), ignore_index=True)


def reasons(frame: pd.DataFrame) -> list[str | None]:
    return [row and row.reason for row in frame[UNREADABLE]] if UNREADABLE in frame else [None] * len(frame)


def test_tokens_are_words_signs_and_single_chinese_and_japanese_characters() -> None:
    tokens = [TEXT[start:end] for start, end in token_offsets(TEXT)]
    assert tokens == ["Anna", "Lee", "'", "s", "visit", "to", "東", "京", ",", "déjà", "-", "vu"]
    hindi, combined = "मेरा पार्सल", "cafe\u0301 au"
    assert [hindi[start:end] for start, end in token_offsets(hindi)] == hindi.split()
    assert [combined[start:end] for start, end in token_offsets(combined)] == combined.split()


@pytest.mark.parametrize(
    ("spans", "tags"),
    [
        ([], "O O O O O O O O O O O O"),
        ([(0, 8, "PER")], "B-PER I-PER O O O O O O O O O O"),
        ([(0, 4, "PER"), (5, 8, "PER")], "B-PER B-PER O O O O O O O O O O"),
        ([(0, 9, "PER"), (20, 22, "LOC")], "B-PER I-PER I-PER O O O B-LOC I-LOC O O O O"),
        ([(20, 22, "LOC"), (0, 8, "PER")], "B-PER I-PER O O O O B-LOC I-LOC O O O O"),
        ([(4, 9, "PER")], "O B-PER I-PER O O O O O O O O O"),
    ],
)
def test_spans_of_characters_become_tags_of_tokens(spans, tags) -> None:
    assert " ".join(tag_spans(TEXT, spans)["tags"]) == tags


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([(1, 8, "PER")], "a span cuts a token"),
        ([(0, 7, "PER")], "a span cuts a token"),
        ([(0, 8, "PER"), (5, 8, "ORG")], "spans overlap"),
        ([(0, 900, "PER")], "a span lies outside the text"),
        ([(-4, 4, "PER")], "a span lies outside the text"),
        ([(4, 4, "PER")], "a span lies outside the text"),
        ([(4, 5, "PER")], "a span holds no token"),
    ],
)
def test_a_span_that_does_not_fit_sets_its_row_aside_by_name(tmp_path, spans, reason) -> None:
    with pytest.raises(SetAsideError, match=reason):
        tag_spans(TEXT, spans)
    rows = [{"id": 1, "text": "In Paris.", "label": [[3, 8, "LOC"]]}, {"id": 2, "text": TEXT, "label": spans}]
    frame = read(tmp_path / "x.jsonl", rows)
    assert reasons(frame) == [None, reason] and frame["tags"][0] == ["O", "B-LOC", "O"]


def studio(*annotations: Any) -> dict:
    return {"id": 7, "data": {"text": TEXT}, "annotations": list(annotations)}


def choice(*names: str, **more: Any) -> dict:
    result = [{"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": list(names)}}]
    return {"result": result, **more}


def labels(*spans: tuple[int, int, str]) -> dict:
    values = [{"start": start, "end": end, "labels": [label]} for start, end, label in spans]
    return {"result": [{"from_name": "ner", "to_name": "text", "type": "labels", "value": value} for value in values]}


PRODIGY = {"text": TEXT, "_task_hash": 1, "answer": "accept"}
ARGILLA = {"id": "7", "fields": {"text": TEXT}, "responses": {}, "metadata": {}}
FLAT = {"id": "7", "_server_id": "s", "text": TEXT, "topic.responses.users": ["a", "b"]}
OLD = {"id": "7", "text": TEXT, "prediction": None, "status": "Validated", "metadata": {}}
LEFT_OUT: dict[str, dict] = {
    "cancelled": studio(choice("fee", was_cancelled=True)),
    "not annotated": studio(),
    "rejected": {**PRODIGY, "label": "fee", "answer": "reject"},
    "ignored": {**PRODIGY, "spans": [], "answer": "ignore"},
    "nothing chosen": {**PRODIGY, "accept": [], "options": [{"id": "fee"}]},
    "no response": ARGILLA,
    "drafts alone": {**FLAT, "topic.responses": ["fee"], "topic.responses.status": ["draft"]},
    "not validated": {**OLD, "annotation": "fee", "status": "Default"},
}
SET_ASIDE: dict[str, tuple[dict, str]] = {
    "Label Studio, disagreement": (studio(choice("fee"), choice("loan")), "annotators disagree"),
    "Label Studio, several": (studio(choice("fee", "loan")), "several labels"),
    "Prodigy, several": ({**PRODIGY, "accept": ["a", "b"], "options": []}, "several labels"),
    "Argilla, disagreement": (
        {**ARGILLA, "responses": {"topic": [{"value": "fee"}, {"value": "loan"}]}},
        "annotators disagree",
    ),
    "Argilla, several": ({**ARGILLA, "responses": {"topic": [{"value": ["a", "b"]}]}}, "several labels"),
    "Label Studio, no result": ({"id": 1, "data": {"text": "a"}, "annotations": [{}]}, "no record as Label Studio"),
}
LABELLED: dict[str, tuple[dict, dict]] = {
    "Label Studio, agreement": (studio(choice("fee"), choice("fee")), {"id": 7, "label": "fee", "topic": "fee"}),
    "Label Studio, both": (
        studio({"result": [*choice("fee")["result"], *labels((0, 4, "PER"))["result"]]}),
        {"label": "fee", "tags": ["B-PER", *["O"] * 11]},
    ),
    "Label Studio, no entity": (studio(labels()), {"tags": ["O"] * 12}),
    "doccano, intents": (
        {"id": 7, "text": TEXT, "cats": ["fee"], "entities": [[0, 4, "PER"]]},
        {"label": "fee", "tags": ["B-PER", *["O"] * 11]},
    ),
    "doccano, labels": ({"id": 7, "text": TEXT, "labels": ["fee"]}, {"label": "fee"}),
    "Prodigy, own tokens": (
        {**PRODIGY, "spans": [{"start": 0, "end": 8, "label": "PER"}], "tokens": [
            {"text": "Anna Lee", "start": 0, "end": 8}, {"text": " ", "start": 15, "end": 16}]},
        {"tokens": ["Anna Lee"], "tags": ["B-PER"]},
    ),
    "Argilla, several users": (
        {**ARGILLA, "responses": {"topic": [{"value": "fee"}, {"value": "fee"}]}},
        {"id": "7", "label": "fee", "topic": "fee", "text": TEXT},
    ),
    "Argilla, flattened": (
        {**FLAT, "topic.responses": ["fee", "loan"], "topic.responses.status": ["submitted", "discarded"]},
        {"label": "fee", "text": TEXT},
    ),
    "Argilla 1, classes": ({**OLD, "annotation": "fee"}, {"label": "fee", "id": "7"}),
    "Argilla 1, entities": (
        {**OLD, "tokens": ["Anna", "Lee"], "annotation": [{"label": "PER", "start": 0, "end": 8}]},
        {"tokens": ["Anna", "Lee"], "tags": ["B-PER", "I-PER"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LABELLED)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_what_a_tool_has_labelled_becomes_plain_columns(tmp_path, kind, name) -> None:
    record, columns = LABELLED[kind]
    frame = read(tmp_path / name, [record, record])
    assert reasons(frame) == [None] * 2 and {column: frame[column][1] for column in columns} == columns


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_nobody_has_labelled_is_left_out_and_counted(tmp_path, kind, caplog) -> None:
    good = {
        "annotations": studio(choice("fee")),
        "_task_hash": {**PRODIGY, "label": "fee"},
        "fields": {**ARGILLA, "responses": {"topic": [{"value": "fee"}]}},
        "_server_id": {**FLAT, "topic.responses": ["fee"], "topic.responses.status": ["submitted"]},
        "prediction": {**OLD, "annotation": "fee"},
    }
    labelled = next(record for key, record in good.items() if key in LEFT_OUT[kind])
    frame = read(tmp_path / "x.jsonl", [labelled, *[LEFT_OUT[kind]] * 3])
    assert frame["label"].tolist() == ["fee"]
    (said,) = caplog.messages
    assert "x.jsonl: read as an export of " in said and "; left out: 3 " in said


@pytest.mark.parametrize(
    ("record", "is_named"),
    [
        ({"id": 7, "text": TEXT, "labels": ["fee"]}, False),
        ({"id": 7, "text": TEXT, "label": ["fee", "loan"]}, False),
        ({"id": 7, "text": TEXT, "label": ["fee"], "Comments": []}, True),
        ({"id": 7, "text": TEXT, "labels": [[0, 4, "PER"]]}, True),
    ],
)
def test_a_tool_is_named_only_where_nobody_else_writes_such_records(tmp_path, record, is_named, caplog) -> None:
    read(tmp_path / "x.jsonl", [record, record])
    assert ["doccano" in said for said in caplog.messages] == [True] * is_named


def test_an_export_without_a_label_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(SourceError, match=r"x\.json: is empty: it has no labelled row: 2 without an annotation"):
        read(tmp_path / "x.json", [studio(), studio()])


@pytest.mark.parametrize("kind", SET_ASIDE)
def test_what_cannot_be_learnt_is_set_aside_by_name(tmp_path, kind) -> None:
    record, reason = SET_ASIDE[kind]
    (found,) = reasons(read(tmp_path / "x.jsonl", [record]))
    assert found.startswith(reason)


def test_the_kind_is_known_however_late_the_first_entity_comes(tmp_path) -> None:
    empty = [{"id": number, "text": "In Paris.", "label": []} for number in range(2_000)]
    frame = read(tmp_path / "x.jsonl", [*empty, {"id": 2_000, "text": "In Paris.", "label": [[3, 8, "LOC"]]}])
    assert frame["tags"].map(tuple).value_counts().to_dict() == {("O", "O", "O"): 2_000, ("O", "B-LOC", "O"): 1}


@pytest.mark.parametrize(
    "row",
    [
        {"id": "1", "text": "buy it", "answer": "accept"},
        {"id": "1", "text": "buy it", "label": "a", "status": "Default"},
        {"id": "1", "tokens": ["a"], "tags": ["O"], "annotations": []},
        {"id": "1", "text": "buy it", "data": {"x": 1}, "label": "a"},
        {"id": "1", "text": ["buy", "it"], "label": ["O", "O"]},
    ],
)
def test_plain_rows_are_no_export(tmp_path, row, caplog) -> None:
    assert read(tmp_path / "x.jsonl", [row]).to_dict("records") == [row] and caplog.messages == []


def test_argilla_records_in_parquet_are_recognised(tmp_path) -> None:
    rows = [{**FLAT, "id": str(number), "topic.responses": ["fee", "fee"]} for number in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    frame = pd.concat(read_chunks(tmp_path / "x.parquet", 2), ignore_index=True)
    assert frame["label"].tolist() == ["fee"] * 3 and frame["id"].tolist() == ["0", "1", "2"]
