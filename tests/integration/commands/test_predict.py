"""`cl predict`: whether a text is out of scope, and what a file of questions needs."""

from __future__ import annotations

import csv
import json

import pytest

from tests.support.command import command
from tests.support.tiny import made_sentences


@pytest.fixture
def asked(champion_shop):
    """A function that asks a champion which was promoted with or without the detector of novel texts."""
    project = champion_shop()

    def ask(*arguments: str):
        return command("predict", *arguments, "-p", str(project.root))

    return ask


def test_the_json_says_whether_a_text_is_out_of_scope_or_that_it_is_not_known(asked) -> None:
    said = asked("i want a loan", "--json")
    (answer,) = json.loads(said.out)
    assert list(answer) == ["text", "prediction", "confidence", "version", "out_of_scope"]
    assert answer["out_of_scope"] in (None, True, False)


@pytest.mark.parametrize(("outside", "marked"), [(True, True), (False, False), (None, False)])
def test_only_what_is_out_of_scope_is_marked(outside, marked) -> None:
    from cl.cli.data import _answer_line

    line = _answer_line({"prediction": "praise", "confidence": 0.5, "text": "asdf", "out_of_scope": outside})
    assert ("out of scope" in line) == marked and line.startswith("praise  0.50  asdf")


def test_a_file_of_questions_needs_no_date_and_no_label(champion_shop, tmp_path) -> None:
    project = champion_shop()
    rows = made_sentences(["loan", "fee"], 6, seed=5, prefix="q")[["id", "text"]]
    rows.to_csv(tmp_path / "questions.csv", index=False)
    answers = tmp_path / "answers.csv"
    said = command(
        "predict", "--from", str(tmp_path / "questions.csv"), "--out", str(answers), "-p", str(project.root), "--json",
        "--set", "data.date=date",
    )  # fmt: skip
    assert said.code == 0, said
    assert json.loads(said.out)["answered"] == len(rows)
    with answers.open(encoding="utf-8") as file:
        assert "out_of_scope" in csv.DictReader(file).fieldnames
    missing = command("ingest", str(tmp_path / "questions.csv"), "-p", str(project.root), "--set", "data.date=date")
    assert missing.code == 2 and "no column" in missing.err
