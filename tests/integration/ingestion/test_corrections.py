"""Rows that come back with another label or text replace the earlier ones, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cl.config import Config, parse
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.seen_texts import LeftOut
from cl.ingestion.sources.files import Files
from cl.records import SPLITS, Experience
from cl.stores.data.correction_records import read_corrections
from cl.stores.data.corrections import finish_correction
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts, normal_form
from cl.stores.data.tombstones import RemovalRecord, salt_ids, write_removal
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification
from tests.support import warm

COLUMNS = ["id", "text", "label"]
ROWS = [(f"r{number}", f"text number {number}", "a") for number in range(60)]


def configured(corrections: str = "take") -> Config:
    return parse({"data": {"corrections": corrections}}, where="test")


def take(
    project: ProjectFolder, rows: list[Any], name: str, corrections: str = "take", **given: Any
) -> list[Experience]:
    path = project.root / f"{name}.csv"
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    return ingest(configured(corrections), project, Files(path=str(path)), **given)


def stream(project: ProjectFolder) -> dict[str, tuple[str, str, str, str]]:
    """Return all rows of the project: id -> experience, split, text, label."""
    found, store = {}, Experiences(project)
    for experience in store.all():
        for split in SPLITS:
            for row in store.rows(experience.id, split).itertuples():
                assert row.id not in found, f"{row.id} is in {found[row.id]} and in {experience.id}"
                found[row.id] = (experience.id, split, row.text, row.label)
    return found


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    at = ProjectFolder(tmp_path)
    take(at, ROWS, "one")
    return at


def one_of_each_split(project: ProjectFolder) -> list[str]:
    rows = stream(project)
    return [next(id for id, row in rows.items() if row[1] == split) for split in SPLITS]


def test_a_corrected_label_replaces_the_row_in_its_split(project) -> None:
    before, ids = stream(project), one_of_each_split(project)
    (made,) = take(project, [(id, before[id][2], "b") for id in ids], "mended")
    after = stream(project)
    assert {id: after[id] for id in ids} == {id: (made.id, before[id][1], before[id][2], "b") for id in ids}
    assert {id: row for id, row in after.items() if id not in ids} == {
        id: row for id, row in before.items() if id not in ids
    }
    first = Experiences(project).get("0001-one")
    assert (made.corrected, made.total, first.replaced, first.total) == (3, 3, 3, 57)
    (correction,) = read_corrections(project)
    assert correction.rows == {"0001-one": dict.fromkeys(SPLITS, 1)} and correction.experience == made.id
    assert "@" in correction.by


def test_a_text_under_a_new_id_with_another_label_replaces_the_earlier_row(project) -> None:
    before, ids = stream(project), one_of_each_split(project)
    (made,) = take(project, [(f"new-{id}", before[id][2], "b") for id in ids], "mended")
    after = stream(project)
    assert not set(ids) & after.keys()
    assert {after[f"new-{id}"] for id in ids} == {(made.id, *before[id][1:3], "b") for id in ids}


def test_a_corrected_text_keeps_the_split_of_its_row(project) -> None:
    before, ids = stream(project), one_of_each_split(project)
    take(project, [(id, f"said otherwise {id}", "a") for id in ids], "mended")
    assert {id: stream(project)[id][1:] for id in ids} == {
        id: (before[id][1], f"said otherwise {id}", "a") for id in ids
    }


def test_corrections_come_with_new_rows_and_rows_that_were_seen(project) -> None:
    (made,) = take(project, [("r1", "text number 1", "b"), ("r2", "text number 2", "a"), ("n", "new", "b")], "mixed")
    assert (made.total, made.corrected, made.seen) == (2, 1, 1)


@pytest.mark.parametrize("corrections", ["take", "set_aside"])
@pytest.mark.parametrize("again", ["the corrections", "the first file"])
def test_what_was_corrected_and_comes_again_changes_nothing(project, again, corrections) -> None:
    mended = [("r1", "text number 1", "b"), ("r2", "text number 2", "c")]
    take(project, mended, "mended")
    before, skipped = stream(project), LeftOut()
    rows, why = (mended, "seen before") if again == "the corrections" else (ROWS[1:3], "corrected since")
    assert take(project, rows, "again", corrections, skipped=skipped) == []
    assert skipped == {why: 2}
    assert stream(project) == before and len(read_corrections(project)) == 1


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "by content"])
def test_a_folder_that_is_read_again_and_again_keeps_what_was_corrected(tmp_path, ids) -> None:
    project, inbox = ProjectFolder(tmp_path), tmp_path / "inbox"
    inbox.mkdir()
    config = parse({"data": {"corrections": "take", "id": "id" if ids else None}}, where="test")
    arrived = {
        "1-may": ROWS,
        "2-june": [("r1", "text number 1", "b"), ("r2", "text number 2", "c")],
        "3-july": [("n", "new", "a")],
    }
    for name, rows in arrived.items():
        pd.DataFrame(rows, columns=COLUMNS).to_csv(inbox / f"{name}.csv", index=False)
        made = ingest_settled(config, project, Files(path="inbox"), settle=0)
        assert [experience.name for experience in made] == [name]
    labels = {row[2]: row[3] for row in stream(project).values()}
    assert (labels["text number 1"], labels["text number 2"], len(labels)) == ("b", "c", 61)


def test_a_person_may_take_a_correction_back(project) -> None:
    take(project, [("r1", "text number 1", "b")], "mended")
    (made,) = take(project, [ROWS[1]], "back", later=True)
    assert made.corrected == 1 and stream(project)["r1"][3] == "a"
    skipped = LeftOut()
    assert (
        take(project, [("r1", "text number 1", "b")], "again", skipped=skipped) == []
        and skipped["corrected since"] == 1
    )


def test_a_row_may_be_corrected_twice(project) -> None:
    take(project, [("r1", "text number 1", "b")], "two")
    take(project, [("r1", "text number 1", "c")], "three")
    assert stream(project)["r1"][::3] == ("0003-three", "c")
    assert [correction.rows for correction in read_corrections(project)] == [
        {"0001-one": {stream(project)["r1"][1]: 1}},
        {"0002-two": {stream(project)["r1"][1]: 1}},
    ]


@pytest.mark.parametrize("corrections", ["take", "set_aside"])
def test_a_row_that_was_forgotten_stays_out_and_is_called_forgotten(project, corrections) -> None:
    from datetime import UTC, datetime

    fields = {"number": 1, "forgotten_at": datetime.now(UTC), "by": "x", "why": "", "rows": {}, "quarantined": 0}
    write_removal(project, RemovalRecord(**fields, answers=0, salt="ab", ids=salt_ids(hash_texts(["gone"]), "ab")))

    skipped = LeftOut()
    assert take(project, [("gone", "a text", "b")], "two", corrections, skipped=skipped) == []
    assert skipped == {"forgotten on purpose": 1}
    (made,) = take(project, [("gone", "a text", "b"), ("new", "another text", "b")], "three", corrections)
    assert (made.total, made.stayed_out, made.seen) == (1, 1, 0)


KILLER = """
import os, signal, sys
import importlib
from cl.config import parse
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.sources.files import Files
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification
from cl.tasks.text_classification import TextClassification
from pathlib import Path

where, name, call = importlib.import_module(sys.argv[2]), sys.argv[3], int(sys.argv[4])
real, calls = getattr(where, name), []
def deadly(*args, **kwargs):
    result = real(*args, **kwargs)
    calls.append(1)
    if len(calls) == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(where, name, deadly)
project = ProjectFolder(Path(sys.argv[1]))
ingest(parse({"data": {"corrections": "take"}}, where="x"), project, Files(path=str(project.root / "mended.csv")))
"""


@pytest.mark.parametrize(
    ("where", "name", "call", "published"),
    [
        ("cl.ingestion.apply_corrections", "find_replaced", 1, False),
        ("cl.ingestion.apply_corrections", "begin_correction", 1, False),
        ("cl.stores.data.publish", "_write_splits", 1, False),
        ("cl.stores.data.publish", "move_into_place", 1, True),
        ("cl.stores.data.corrections", "remove_from_experience", 1, True),
        ("cl.stores.data.corrections", "remove_from_experience", 2, True),
        ("cl.stores.data.corrections", "write_correction", 1, True),
        ("cl.ingestion.apply_corrections", "finish_correction", 1, True),
        ("cl.ingestion.ingest", "remember_fingerprints", 1, True),
    ],
)
def test_killed_at_any_step_nothing_is_lost_and_the_next_command_finishes_it(
    project, where, name, call, published
) -> None:
    take(project, [(f"s{number}", f"sentence {number}", "a") for number in range(60)], "two")
    before = stream(project)
    mended = [("r1", "text number 1", "b"), ("s1", "sentence 1", "b"), ("new", "a new text", "b")]
    pd.DataFrame(mended, columns=COLUMNS).to_csv(project.root / "mended.csv", index=False)
    done = warm.python(KILLER, str(project.root), where, name, str(call))
    assert done.returncode == -9, done.stderr

    finish_correction(project, TextClassification.schema)
    expected = {id: (text, label) for id, text, label in mended}
    corrected = {id: row[2:] for id, row in before.items()} | expected
    kept = {id: row[2:] for id, row in before.items()}
    assert {id: row[2:] for id, row in stream(project).items()} == (corrected if published else kept)
    ingest(configured(), project, Files(path=str(project.root / "mended.csv")))
    assert {id: row[2:] for id, row in stream(project).items()} == corrected
    assert len(read_corrections(project)) == 1
    assert not (project.work / "corrections").exists()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Where is my parcel?", "where is my parcel"),
        ("Where  is\tmy parcel", "Where is my parcel!!"),
        ("  PAY the fee.", "pay the fee …"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "Café"),
        ("ｆｕｌｌ width", "full width。"),
        ("no\u00a0break", "no break"),
    ],
)
def test_texts_that_people_take_for_the_same_lie_in_one_split(text, same) -> None:
    assert normal_form(text) == normal_form(same)


@pytest.mark.parametrize(("text", "other"), [("?", "!"), ("a b", "ab"), ("yes", "yes!no"), ("1.5", "15")])
def test_texts_that_differ_in_more_are_not_the_same(text, other) -> None:
    assert normal_form(text) != normal_form(other)


def test_no_text_lies_on_both_sides_of_a_split_whatever_its_ids(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    spellings = [str, str.upper, str.title, "{}!".format, " {} ".format, "{}...".format]
    rows = [
        (f"{number}-{index}", spell(f"text number {number}"), "ab"[number % 2])
        for number in range(60)
        for index, spell in enumerate(spellings)
    ]
    (made,) = take(project, rows, "one")
    split_of: dict[str, set[str]] = {}
    for _, split, text, _ in stream(project).values():
        split_of.setdefault(normal_form(text), set()).add(split)
    assert len(split_of) == 60 and all(len(splits) == 1 for splits in split_of.values())
    assert made.total == 60 * len(spellings) - made.duplicates and set().union(*split_of.values()) == set(SPLITS)
