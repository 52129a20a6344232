from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cl import plugins
from cl.config import Config, parse
from cl.errors import SourceError
from cl.ingestion.check_rows import CheckedRows, check_rows, refuse_numeric_labels
from cl.ingestion.internal_columns import SPLIT, UNREADABLE, InternalColumn, UnreadableRow
from cl.ingestion.validate import validate
from cl.records import Experience


def configured(task: str = "text_classification", **data: Any) -> Config:
    return parse({"task": task, "data": data}, where="test")


def check(
    rows: list[dict[str, Any]], config: Config | None = None, internal: dict[InternalColumn, list[Any]] | None = None
) -> CheckedRows:
    config = config or configured()
    chunk = pd.DataFrame(rows, dtype=object)
    for name, values in (internal or {}).items():
        chunk[name] = pd.Series(values, dtype=object)
    return check_rows(chunk, config, plugins.build("tasks", config.task), origin="rows.csv")


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "1", "text": "hello there", "label": "a", **changes}


def test_good_rows_are_canonical_and_stripped_at_the_ends_only() -> None:
    checked = check([row(id=" 7 ", text="  two  words\n", label=" a ", more=3)])
    assert checked.good.to_dict("records") == [{"id": "7", "text": "two  words", "label": "a", "date": None}]
    assert list(checked.bad.columns) == ["id", "reason", "row"] and checked.bad.empty


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": None}, "missing id"),
        ({"id": "  "}, "missing id"),
        ({"text": None}, "missing text"),
        ({"text": ["a", "list"]}, "missing text"),
        ({"label": float("nan")}, "missing label"),
        ({"label": ""}, "missing label"),
        ({"text": "caf\udce9"}, "not valid UTF-8"),
        ({"label": b"caf\xe9"}, "not valid UTF-8"),
        ({"text": "x" * 5001}, "too long"),
        ({"label": "x" * 501}, "label too long"),
        ({"label": "x" * 100_000}, "label too long"),
        ({"id": "x" * 501}, "id too long"),
        ({"text": "x"}, "too short"),
    ],
)
def test_each_broken_row_has_its_reason_and_its_raw_form(changes, reason) -> None:
    checked = check([row(id="0"), row(**changes, note="kept")])
    assert checked.good["id"].tolist() == ["0"]
    (bad,) = checked.bad.to_dict("records")
    assert bad["reason"] == reason
    assert json.loads(bad["row"])["note"] == "kept"
    bad["row"].encode("utf-8")


@pytest.mark.parametrize(
    ("data", "column", "reason"),
    [
        ({"date": "day"}, "day", "date too long"),
        ({"group_by": "month"}, "month", "group too long"),
        ({"keep": ["channel"]}, "channel", "'channel' too long"),
    ],
)
def test_whatever_is_stored_with_a_text_has_a_bound(data, column, reason) -> None:
    checked = check([row(**{column: "x"}), row(**{column: "x" * 100_000})], configured(**data))
    assert len(checked.good) == 1 and checked.bad["reason"].tolist() == [reason]


def test_a_label_of_500_characters_passes() -> None:
    assert check([row(label="x" * 500)]).bad.empty


FORMS = ["caf\u00e9", "cafe\u0301"]


@pytest.mark.parametrize(
    ("composed", "written"),
    [FORMS, ("\u00c5", "\u212b"), ("\uac00", "\u1100\u1161"), ("\u1ebf", "e\u0302\u0301")],
)
def test_a_label_is_one_class_in_whatever_form_of_unicode_it_is_written(composed, written) -> None:
    checked = check([row(id="1", label=composed), row(id="2", label=written), row(id="3", label="a")])
    assert checked.good["label"].tolist() == [composed, composed, "a"] and checked.composed == {written}


def test_texts_stay_as_they_were_written_and_so_do_labels_without_combining_characters() -> None:
    rows = [row(text=FORMS[1], label="Late  Fee"), row(text="cafe", label="\u00df")]
    checked = check(rows)
    assert checked.good["text"].tolist() == [FORMS[1], "cafe"] and checked.composed == frozenset()
    assert checked.good["label"].tolist() == ["Late  Fee", "\u00df"]


def test_the_form_of_a_label_changes_no_id_that_its_content_makes() -> None:
    first, second = check([{"text": "hello", "label": form} for form in FORMS], configured(id=None)).good["id"]
    assert first == second


MAGIC = ["__unreadable__", "__split__", "UNREADABLE", "SPLIT", "split", "class", "reason", "index", "chunk", "config"]
MAGIC += ["self", "columns", "held_out", "target", "prediction", "score", "level_0", "__index_level_0__", "logits"]


@pytest.mark.parametrize("name", MAGIC)
@pytest.mark.parametrize("kept", [False, True])
def test_no_column_of_an_input_is_mistaken_for_one_of_ours(name, kept) -> None:
    config = configured(keep=[name] if kept else [])
    checked = check([row(id="1", **{name: "train"}), row(id="2", text="", **{name: "x"})], config)
    assert checked.good["id"].tolist() == ["1"] and checked.bad["reason"].tolist() == ["missing text"]
    assert json.loads(checked.bad["row"].iloc[0])[name] == "x"
    if kept:
        assert checked.good[name].tolist() == ["train"]


@pytest.mark.parametrize("name", MAGIC)
@pytest.mark.parametrize("key", ["text", "label", "id"])
def test_a_column_may_have_any_name_whatever_it_holds(name, key) -> None:
    rows = [{name if column == key else column: value for column, value in row().items()}]
    assert check(rows, configured(**{key: name})).good[key].tolist() == [row()[key]]


def test_an_unreadable_line_is_kept_as_it_was() -> None:
    checked = check([row(), {"id": None}], internal={UNREADABLE: [None, UnreadableRow("2,only")]})
    assert len(checked.good) == 1
    assert checked.bad.to_dict("records") == [{"id": None, "reason": "unreadable line", "row": '"2,only"'}]


def test_a_chunk_of_nothing_but_unreadable_lines_asks_for_no_columns() -> None:
    checked = check([{}, {}], internal={UNREADABLE: [UnreadableRow("{"), UnreadableRow("[")]})
    assert checked.good.empty and checked.bad["reason"].tolist() == ["unreadable line"] * 2


def test_numbers_and_dates_become_texts() -> None:
    config = configured(date="day", numeric_labels="accept")
    rows = [row(id=1, label=2.0, day=date(2024, 5, 1)), row(id=np.int64(2**60 + 1), label=7, day=None)]
    good = check(rows, config).good
    assert good["id"].tolist() == ["1", str(2**60 + 1)] and good["label"].tolist() == ["2", "7"]
    assert good["date"].tolist() == ["2024-05-01", None]


def test_joined_columns_come_before_the_text() -> None:
    good = check([row(title="Paid twice"), row(title=None)], configured(join=["title"])).good
    assert good["text"].tolist() == ["Paid twice. hello there", "hello there"]


def test_without_an_id_column_the_content_makes_one() -> None:
    rows = [
        {"text": "hello", "label": "a"},
        {"text": "hello", "label": "b"},
        {"text": "hello ", "label": "a"},
    ]
    first, second, third = check(rows, configured(id=None)).good["id"]
    assert first == third != second


def test_two_columns_of_one_name_are_refused() -> None:
    chunk = pd.DataFrame([["1", "hello there", "a", "x", "y"]], columns=["id", "text", "label", "note", "note"])
    with pytest.raises(SourceError, match=r"rows\.csv: names a column twice: 'note'; rename one of them"):
        check_rows(chunk, configured(), plugins.build("tasks", "text_classification"), origin="rows.csv")


def test_the_columns_that_there_are_fit_into_one_line() -> None:
    columns = {f"column\n{number}": "x" for number in range(900)} | {"x" * 100_000: "x"}
    with pytest.raises(SourceError) as error:
        check([columns], internal={SPLIT: ["train"]})
    assert len(str(error.value)) < 600 and str(error.value).isprintable() and "SPLIT" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"label": "intent"},
            "rows.csv: no column 'intent'; there are: id, text, label; set data.label in cl.yaml",
        ),
        ({"id": "key"}, "set data.id: null"),
        ({"join": ["title"]}, "set data.join"),
        ({"date": "day"}, "set data.date"),
        ({"group_by": "month"}, "set data.group_by"),
        ({"split_column": "part"}, "set data.split_column"),
    ],
)
def test_a_missing_column_is_named_with_the_key_to_set(data, says) -> None:
    with pytest.raises(SourceError) as error:
        check([row()], configured(**data))
    assert says in str(error.value)


@pytest.mark.parametrize("labels", [["1", "2.0"], [1, 2], [1.5, None]])
def test_labels_that_are_all_numbers_are_refused_with_the_remedy(labels) -> None:
    config = configured()
    chunk = pd.DataFrame({"label": pd.Series(labels, dtype=object)})
    task = plugins.build("tasks", config.task)
    with pytest.raises(SourceError, match=r"rows\.csv: column 'label'.* data\.numeric_labels: accept"):
        refuse_numeric_labels(chunk, config, task, origin="rows.csv")
    refuse_numeric_labels(chunk, configured(numeric_labels="accept"), task, origin="rows.csv")


@pytest.mark.parametrize("labels", [["1", "two"], [True, False], [None, None]])
def test_labels_that_are_not_all_numbers_pass(labels) -> None:
    config = configured()
    chunk = pd.DataFrame({"label": pd.Series(labels, dtype=object)})
    refuse_numeric_labels(chunk, config, plugins.build("tasks", config.task), origin="rows.csv")


def test_rows_without_a_group_or_with_an_unknown_split_are_set_aside() -> None:
    config = configured(group_by="month", split_column="part")
    rows = [row(month="1", part="Dev"), row(month=None, part="test"), row(month="1", part="later")]
    checked = check(rows, config)
    assert checked.bad["reason"].tolist() == ["missing group", "unknown split"]


def test_a_source_that_knows_the_split_needs_no_column() -> None:
    checked = check([row(text="")], internal={SPLIT: ["train"]})
    assert json.loads(checked.bad["row"][0]).keys() == {"id", "text", "label"}


@pytest.mark.parametrize(
    ("tokens", "tags", "reason"),
    [
        (["Anna", "sleeps"], ["B-PER"], "tokens and tags differ in length"),
        (["Anna", "Lee"], ["I-PER", "O"], "not BIO2"),
        (["Anna", "York"], ["B-PER", "I-LOC"], "not BIO2"),
        (["Anna", "York"], ["B-", "O"], "not BIO2"),
        (["Anna", "York"], ["PER", "O"], "not BIO2"),
        ([], ["O"], "missing tokens"),
        (["Anna", None], ["O", "O"], "missing tokens"),
        (["Anna", "Lee"], None, "missing label"),
        (["x"], ["O"], "too short"),
        (["caf\udce9", "x"], ["O", "O"], "not valid UTF-8"),
        (["Anna", "Lee"], ["B-" + "x" * 499, "O"], "label too long"),
    ],
)
def test_broken_token_rows_have_their_reason(tokens, tags, reason) -> None:
    checked = check([{"id": "1", "tokens": tokens, "tags": tags}], configured("token_classification"))
    assert checked.bad["reason"].tolist() == [reason]


@pytest.mark.parametrize(
    ("tokens", "tags"),
    [
        (["Anna", "Lee"], ["B-PER", "I-PER"]),
        (np.array(["Anna", "Lee"], dtype=object), np.array(["B-PER", "B-PER"], dtype=object)),
        ('["Anna", "Lee"]', "B-PER I-PER"),
    ],
)
def test_tokens_may_be_lists_arrays_or_texts(tokens, tags) -> None:
    config = configured("token_classification")
    (good,) = check([{"id": "1", "tokens": tokens, "tags": tags}], config).good.to_dict("records")
    assert good["tokens"] == ["Anna", "Lee"] and good["tags"][0] == "B-PER"


def test_tags_are_composed_too() -> None:
    rows = [{"id": str(number), "tokens": ["Anna"], "tags": [f"B-{form}"]} for number, form in enumerate(FORMS)]
    checked = check(rows, configured("token_classification"))
    assert checked.good["tags"].tolist() == [["B-caf\u00e9"]] * 2 and checked.composed == {"B-cafe\u0301"}


def experience(train: int, quarantined: dict[str, int]) -> Experience:
    return Experience(
        id="0001-x",
        name="x",
        source="x.csv",
        ingested_at=datetime.now(UTC),
        rows={"train": train, "validation": 0, "test": 0},
        labels={},
        quarantined=quarantined,
        digest="",
    )


def test_a_clean_batch_passes() -> None:
    assert validate(Config(), experience(70, {"too long": 30})).passed


def test_a_batch_of_a_single_row_is_not_broken() -> None:
    assert validate(Config(), experience(1, {})).passed


def test_too_much_quarantine_holds_a_batch_in_words() -> None:
    verdict = validate(Config(), experience(10, {"missing label": 10, "too long": 20}))
    assert not verdict.passed
    assert verdict.problems == [
        "30 of 40 rows (75%) are in quarantine (too long 20, missing label 10); validate.max_quarantined allows 30%",
    ]
