"""Rows that ingestion set aside are listed, exported as they came, mended, and taken when they come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from cl.cli.main import cl
from cl.commands.init import scaffold
from cl.errors import InputError

GOOD = [{"id": f"g{index}", "text": f"where is parcel {index}", "label": "parcel"} for index in range(20)]
BROKEN = [
    {"id": "b1", "text": "my card is lost", "label": ""},
    {"id": "b2", "text": "", "label": "card"},
    {"id": "b3", "text": "the same words", "label": "card"},
    {"id": "b4", "text": "the same words", "label": "loan"},
    {"id": "g0", "text": "an id that is taken", "label": "card"},
]
REASONS = {"missing label": 1, "missing text": 1, "contradicting labels": 2, "duplicate id": 1}
MENDED = {
    "my card is lost": {"label": "card"},
    "": {"text": "card stolen"},
    "an id that is taken": {"id": "free"},
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return scaffold(tmp_path / "shop", "name: shop\n").root


def said(shop: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(cl, [*arguments, "-p", str(shop)])
    assert done.exit_code == code, done.output
    return done.output


def output(shop: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(cl, [*arguments, "--json", "-p", str(shop)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text(lines)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_come_back_mended_and_are_shown_as_returned(shop, tmp_path, suffix) -> None:
    text = said(shop, "ingest", write(tmp_path / f"may{suffix}", GOOD + BROKEN))
    for reason, count in REASONS.items():
        assert f"set aside: {count} {reason}" in text
    assert "data/quarantine/0001-may.parquet" in text and (shop / "data/quarantine/0001-may.parquet").exists()
    counted = {entry["reason"]: entry["rows"] for entry in output(shop, "quarantine")}
    assert counted == REASONS

    path = tmp_path / f"mend{suffix}"
    assert output(shop, "quarantine", "export", str(path)) == {"file": str(path), "rows": 5, "returned": 0}
    frame = pd.read_csv(path, dtype=str, keep_default_na=False) if suffix == ".csv" else pd.read_json(path, lines=True)
    rows = [{name: value or "" for name, value in row.items()} for row in frame.to_dict("records")]
    assert sorted(rows, key=str) == sorted(BROKEN, key=str)
    mended = [row | MENDED.get(row["text"] or "", {}) for row in rows if row["id"] != "b4"]
    (back,) = output(shop, "ingest", write(tmp_path / f"again{suffix}", mended))
    assert (sum(back["rows"].values()), back["quarantined"], back["seen"]) == (4, {}, 0)

    listed = output(shop, "quarantine")
    assert {entry["reason"]: entry["returned"] for entry in listed} == REASONS  # b4 has the text that b3 brought back
    shown = output(shop, "quarantine", "show", "0001-may", "--reason", "missing", "--limit", "1")
    assert shown["total"] == 2 and [row["returned"] for row in shown["rows"]] == ["0002-again"]
    assert "nothing to export: all 5 such rows came back" in said(shop, "quarantine", "export", str(tmp_path / "b.csv"))


def test_lines_that_cannot_be_read_are_exported_as_they_were(shop, tmp_path) -> None:
    (tmp_path / "may.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOOD) + '{"id": "x", broken\n')
    said(shop, "ingest", str(tmp_path / "may.jsonl"))
    assert '{"id": "x", broken' in said(shop, "quarantine", "show", "0001-may")
    for name in ("out.jsonl", "out.csv"):
        said(shop, "quarantine", "export", str(tmp_path / name))
        assert (tmp_path / name).read_text().endswith('{"id": "x", broken\n')


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["export", "out.txt"], "ends in .csv or .jsonl"),
        (["export", "there.csv"], "already exists"),
        (["show", "0009-no"], "no experience '0009-no'"),
    ],
)
def test_what_cannot_be_done_says_why(shop, tmp_path, monkeypatch, arguments, why) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.csv").touch()
    done = CliRunner().invoke(cl, ["quarantine", "-p", str(shop), *arguments])
    assert why in str(done.exception) and "no row was set aside" in said(shop, "quarantine")
    assert isinstance(done.exception, InputError)


def test_a_class_without_a_training_row_is_named_where_the_split_is_given(shop, tmp_path) -> None:
    (tmp_path / "split").mkdir()
    write(tmp_path / "split" / "train.csv", GOOD)
    write(tmp_path / "split" / "test.csv", [{"id": "t1", "text": "I want a loan", "label": "loan"}])
    text = said(shop, "ingest", str(tmp_path / "split"))
    assert "(20 train, 0 validation, 1 test)" in text and "no training row, so never learned: loan" in text
    loans = [{"id": f"l{index}", "text": f"a loan of {index}", "label": "loan"} for index in range(3)]
    assert "never learned" not in said(shop, "ingest", write(tmp_path / "june.csv", loans))


def test_one_label_alone_is_named_until_there_is_another(shop, tmp_path) -> None:
    rows = [{"id": f"a{number}", "text": f"a message with the number {number}", "label": "loan"} for number in range(9)]
    assert "every row has the label loan: a model has nothing to tell apart yet" in said(
        shop, "ingest", write(tmp_path / "one.csv", rows)
    )
    more = [{"id": "b1", "text": "another message", "label": "fee"}]
    assert "nothing to tell apart" not in said(shop, "ingest", write(tmp_path / "two.csv", more))
