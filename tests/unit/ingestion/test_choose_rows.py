"""`data.where` leaves rows out and says how many; `data.date_format` reads dates in one stated form."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cl.config import parse
from cl.errors import ConfigError, SourceError
from cl.ingestion.ingest import ingest
from cl.ingestion.sources._frame import Frame
from cl.ingestion.sources.files import Files
from cl.records import Experience
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder

ROWS = [
    {"id": "1", "text": "first message", "label": "a", "lang": "en", "stars": "5"},
    {"id": "2", "text": "second message", "label": "b", "lang": "de", "stars": "4"},
    {"id": "3", "text": "third message", "label": "a", "lang": "en", "stars": "10"},
    {"id": "4", "text": "fourth message", "label": "b", "lang": "en", "stars": "n/a"},
    {"id": "5", "text": "fifth message", "label": "b", "lang": "", "stars": " 2.5 "},
]


def ingested(root: Path, source: Any = None, **data: Any) -> tuple[list[Experience], list[str]]:
    """Return the experiences, and the ids of their rows in order."""
    made = ingest(parse({"data": data}, where="test"), ProjectFolder(root), source or Files(path="x.csv"))
    stored = Experiences(ProjectFolder(root))
    frames = [stored.rows(one.id, split) for one in made for split in ("train", "validation", "test")]
    return made, sorted(id_ for frame in frames for id_ in frame["id"])


def write(root: Path, rows: list[dict]) -> None:
    pd.DataFrame(rows).to_csv(root / "x.csv", index=False)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("lang == 'en'", ["1", "3", "4"]),
        ("lang == 'en' and stars >= 5", ["1", "3"]),
        ("2 < stars <= 5", ["1", "2", "5"]),
        ("lang in ['de', 'fr'] or id == 5", ["2", "5"]),
        ("lang == None", ["5"]),
        ("not (label == 'b')", ["1", "3"]),
        ("text > 'm'", ["2", "3"]),
        ("stars == 4", ["2"]),
    ],
)
@pytest.mark.parametrize("chunk_rows", [1, 100])
@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_only_the_chosen_rows_are_ingested_and_the_others_counted(
    tmp_path, condition, ids, chunk_rows, kind, caplog
) -> None:
    write(tmp_path, ROWS)
    source = Frame(frame=pd.DataFrame(ROWS).replace("", None)) if kind == "frame" else None
    _, chosen = ingested(tmp_path, source, where=condition, chunk_rows=chunk_rows)
    assert chosen == ids
    (said,) = caplog.messages
    assert said.endswith(f": data.where left out {5 - len(ids)} of 5 rows")


def test_a_batch_of_which_nothing_is_chosen_is_nothing_new(tmp_path, caplog) -> None:
    write(tmp_path, ROWS)
    made, _ = ingested(tmp_path, where="lang == 'fr'")
    assert made == [] and "x.csv: data.where left out 5 of 5 rows" in caplog.messages


def test_rows_that_cannot_be_read_are_quarantined_whatever_the_condition(tmp_path) -> None:
    (tmp_path / "x.jsonl").write_text("\n".join([*map(json.dumps, ROWS), "{broken"]))
    (made,), ids = ingested(tmp_path, Files(path="x.jsonl"), where="lang == 'de'")
    assert ids == ["2"] and made.quarantined == {"unreadable line": 1}


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("language == 'en'", r"x\.csv: data\.where: .*no column 'language'; there are: id, text, label, lang, stars"),
        ("lang > 3", r"x\.csv: data\.where compares column 'lang' with a number, but it holds 'en'"),
    ],
)
def test_a_condition_that_does_not_fit_the_columns_is_refused_in_one_line(tmp_path, condition, says) -> None:
    write(tmp_path, ROWS)
    with pytest.raises(SourceError, match=says) as error:
        ingested(tmp_path, where=condition)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("condition", ["lang =", "len(text) > 3", "stars > 3 and stars > 'a'", "1 == 1"])
def test_a_condition_that_cannot_be_read_is_an_error_of_the_configuration(condition) -> None:
    with pytest.raises(ConfigError, match="where"):
        parse({"data": {"where": condition}}, where="test")


FORMS = {"%d.%m.%Y": "07.03.2026", "%m/%d/%y": "03/07/26", "%B %d, %Y": "March 07, 2026", "%Y%m%d": "20260307"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("period", [None, "month"])
def test_dates_of_one_stated_form_are_stored_in_iso_and_others_set_aside(tmp_path, form, period) -> None:
    days = [FORMS[form], FORMS[form], "7th of March", "2026-03-07"]
    write(tmp_path, [{**row, "day": day} for row, day in zip(ROWS, days, strict=False)])
    (made,), ids = ingested(tmp_path, date="day", date_format=form, period=period)
    assert ids == ["1", "2"] and made.quarantined == {f"date not in the form {form}": 2}
    assert made.name == ("2026-03" if period else "x")
    stored = Experiences(ProjectFolder(tmp_path))
    dates = {day for split in made.rows for day in stored.rows(made.id, split)["date"]}
    assert dates == {"2026-03-07"}


def test_a_time_of_day_stays_and_dates_that_are_dates_need_no_form(tmp_path) -> None:
    rows = pd.DataFrame(ROWS[:2]).assign(day=["07.03.2026 08:30", datetime(2026, 3, 7)])
    (made,), _ = ingested(tmp_path, Frame(frame=rows), date="day", date_format="%d.%m.%Y %H:%M")
    stored = Experiences(ProjectFolder(tmp_path))
    dates = sorted(day for split in made.rows for day in stored.rows(made.id, split)["date"])
    assert dates == ["2026-03-07T00:00:00", "2026-03-07T08:30:00"]


@pytest.mark.parametrize("form", ["%d.%m.", "%Q", "day", ""])
def test_a_form_that_reads_no_date_is_an_error_of_the_configuration(form) -> None:
    with pytest.raises(ConfigError, match="date_format"):
        parse({"data": {"date": "day", "date_format": form}}, where="test")
