"""Labels that come after the answers: late, twice, with another word, or never."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.support.desk import Desk, new_desk
from tests.support.tiny import made_sentences

ASKED = made_sentences(["loan", "fee"], 40, seed=2)


@pytest.fixture(scope="module")
def original(tmp_path_factory, tiny_model) -> Path:
    """A folder with a project whose champion has answered forty rows that nobody has labelled yet."""
    folder = tmp_path_factory.mktemp("answered")
    desk = new_desk(folder / "project", tiny_model)
    made_sentences(["loan", "fee"], 80, seed=1).to_csv(folder / "one.csv", index=False)
    assert desk.cl("ingest", str(folder / "one.csv")).returncode == 0
    assert desk.cl("run", "--plain").returncode == 0
    ASKED[["id", "text"]].to_csv(folder / "asked.csv", index=False)
    done = desk.json("predict", "--from", str(folder / "asked.csv"), "--out", str(folder / "answers.csv"))
    assert (done["answered"], done["skipped"], done["version"]) == (40, 0, "1")
    return folder


@pytest.fixture
def answered(original: Path, tmp_path: Path) -> tuple[Desk, pd.DataFrame]:
    """A copy of it, for one test."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return Desk(tmp_path / "project"), ASKED


def labels(rows: pd.DataFrame, path) -> str:
    rows[["id", "label"]].to_csv(path, index=False)
    return str(path)


def test_labels_find_the_rows_that_were_answered_whenever_they_come(answered, tmp_path) -> None:
    desk, asked = answered
    told = pd.read_csv(tmp_path / "answers.csv")
    assert told["id"].tolist() == asked["id"].tolist() and told["confidence"].between(0, 1).all()
    assert desk.json("status")["predictions"] == {"answered": 40, "labelled": 0, "feedback": 0}

    (late,) = desk.json("label", labels(asked[:25], tmp_path / "march.csv"))
    assert late["name"] == "labels-march" and sum(late["rows"].values()) == 25
    assert desk.json("label", labels(asked[:25], tmp_path / "again.csv")) == [], "the same labels once more are no news"
    assert desk.json("status")["predictions"] == {"answered": 40, "labelled": 25, "feedback": 0}

    changed = pd.concat([asked[:5].assign(label="box"), asked[25:30]])
    (mixed,) = desk.json("label", labels(changed, tmp_path / "april.csv"))
    assert mixed["quarantined"] == {"known id with another text or label": 5} and sum(mixed["rows"].values()) == 5
    assert desk.json("status")["predictions"] == {"answered": 40, "labelled": 30, "feedback": 0}

    (cycle, _) = desk.json("run", "--plain")
    assert cycle["experience"]["id"] == "0002-labels-march" and cycle["drift"]["champion_score"] is not None


def test_labels_of_rows_that_were_never_answered_are_refused(answered, tmp_path) -> None:
    desk, _ = answered
    strangers = made_sentences(["loan"], 4, seed=9)
    done = desk.cl("label", labels(strangers, tmp_path / "strangers.csv"))
    assert done.returncode == 2 and "no good row among 4: no answer is logged under this id 4" in done.stderr
    assert desk.json("status")["waiting"] == []


def test_bad_input_is_told_in_a_line(answered, tmp_path) -> None:
    desk, asked = answered
    asked[["id"]].to_csv(tmp_path / "bare.csv", index=False)
    for command, told in [
        (("label", str(tmp_path / "bare.csv")), "no column 'label'; there are: id"),
        (("label", str(tmp_path / "nothing.csv")), "no such file or folder"),
        (("predict", "--from", str(tmp_path / "bare.csv")), "no column 'text'"),
        (("predict",), "give either TEXT... or --from PATH"),
        (("predict", "hello", "--from", "x.csv"), "give either TEXT... or --from PATH"),
    ]:
        done = desk.cl(*command)
        assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    desk.configure(data={"id": None})
    for command in (("label", "x.csv"), ("predict", "--from", "x.csv")):
        done = desk.cl(*command)
        assert done.returncode == 2 and "data.id is null" in done.stderr
