"""Feedback on a row that an experience holds: another label corrects it, or contradicts it; the same one is nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cl.commands.ingest import ingest_served
from cl.config import parse
from cl.errors import SourceError
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.late_labels import LateLabels
from cl.ingestion.sources.files import Files
from cl.ingestion.sources.serving import Serving
from cl.records import SPLITS, Experience
from cl.stores.data.correction_records import read_corrections
from cl.stores.data.experiences import Experiences
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from tests.integration.ingestion.sources.test_serving import answer
from tests.support.forgetting import forgotten, shop

REMEDY = "cl ingest --from-serving --corrections"
CHANGED, RELABELLED = "known id with another text or label", "known text with another label"
TEXTS = {f"p{number}": f"text number {number}" for number in range(30)}


def read(root: Path, corrections: str = "take", *, min_rows: int = 1, task: str = "text_classification") -> Any:
    config = parse({"task": task, "data": {"corrections": corrections}}, where="test")
    return ingest(config, ProjectFolder(root), Serving(min_rows=min_rows))


def read_file(root: Path, rows: list[tuple[str, str, str]], name: str) -> list[Experience]:
    pd.DataFrame(rows, columns=["id", "text", "label"]).to_csv(root / f"{name}.csv", index=False)
    config = parse({"data": {"corrections": "take"}}, where="test")
    return ingest(config, ProjectFolder(root), Files(path=str(root / f"{name}.csv")))


def stream(root: Path) -> dict[str, tuple[str, str, Any]]:
    """Return all rows of the project: id -> split, text (or tokens), label (or tags)."""
    store, rows = Experiences(ProjectFolder(root)), {}
    for experience in store.all():
        for split in SPLITS:
            for id, content, label in store.rows(experience.id, split).iloc[:, :3].itertuples(index=False):
                assert id not in rows, f"{id} twice"
                rows[id] = (split, *(cell if isinstance(cell, str) else list(cell) for cell in (content, label)))
    return rows


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A project that holds thirty labelled predictions."""
    answer(tmp_path, dict(TEXTS), dict.fromkeys(TEXTS, "loss"))
    read(tmp_path)
    return tmp_path


def test_a_later_label_replaces_the_row_in_its_split(served) -> None:
    before = stream(served)
    ids = [next(id for id, row in before.items() if row[0] == split) for split in SPLITS]
    answer(served, {"new": "a new text"}, {**dict.fromkeys(ids, "fee"), "new": "fee"})
    (made,) = read(served)
    assert (made.total, made.corrected) == (4, 3)
    after = stream(served)
    assert {id: after[id] for id in ids} == {id: (*before[id][:2], "fee") for id in ids}
    assert {id: row for id, row in after.items() if id not in [*ids, "new"]} == {
        id: row for id, row in before.items() if id not in ids
    }
    (correction,) = read_corrections(ProjectFolder(served))
    assert correction.rows == {"0001-serving": dict.fromkeys(SPLITS, 1)}
    assert read(served) == [] and stream(served) == after, "it is done once"


def test_tags_are_corrected_as_labels_are(tmp_path) -> None:
    texts = {f"s{number}": ["anna", "said", str(number)] for number in range(20)}
    answer(tmp_path, texts, {id: ["B-per", "O", "O"] for id in texts})
    read(tmp_path, task="token_classification")
    answer(tmp_path, {}, {"s3": ["B-loc", "O", "O"], "s4": ["B-per", "O", "O"]})
    (made,) = read(tmp_path, task="token_classification")
    assert (made.total, made.corrected, stream(tmp_path)["s3"][2]) == (1, 1, ["B-loc", "O", "O"])


def test_the_same_label_again_reads_nothing_of_the_log(served, monkeypatch) -> None:
    asked: list[list[str]] = []
    real = Predictions.of
    monkeypatch.setattr(Predictions, "of", lambda self, ids: asked.append(ids) or real(self, ids))
    answer(served, {}, {"p1": "loss", "p2": "loss"})
    assert read(served) == [] and asked == [[]]
    answer(served, {}, {"p2": "fee"})
    read(served)
    assert asked[1:] == [["p2"]], "of the log, the one whose label has changed"


def test_a_label_that_only_looks_different_is_the_same(tmp_path) -> None:
    answer(tmp_path, {"a": "lost card", "b": "my card"}, {"a": "caf\u00e9", "b": "caf\u00e9"})
    read(tmp_path)
    answer(tmp_path, {}, {"a": "cafe\u0301", "b": " caf\u00e9 "})
    assert read(tmp_path) == []


def test_not_asked_for_it_is_named_with_count_and_remedy_each_time(served, caplog) -> None:
    before = stream(served)
    answer(served, {}, {"p1": "fee", "p2": "fee"})
    for _ in range(2):
        caplog.clear()
        assert read(served, "set_aside") == [] and stream(served) == before
        assert f"serving: 2 labels contradict rows that experiences hold; if they correct them: {REMEDY}" in caplog.text
    (made,) = read(served)
    assert made.corrected == 2, "the remedy works"


def test_not_asked_for_it_is_set_aside_with_a_batch_and_the_remedy_still_works(served, caplog) -> None:
    answer(served, {"new": "a new text", "again": "text number 7"}, {"p1": "fee", "new": "fee", "again": "fee"})
    (made,) = read(served, "set_aside")
    assert made.quarantined == {CHANGED: 1, RELABELLED: 1}
    assert f"if they correct the earlier rows: {REMEDY}" in caplog.text
    caplog.clear()
    assert read(served, "set_aside") == [] and "contradict" not in caplog.text
    (made,) = read(served)
    assert made.corrected == 2
    assert (stream(served)["p1"][2], stream(served)["again"][2], "p7" in stream(served)) == ("fee", "fee", False)


def test_unattended_contradictions_make_no_batch_and_corrections_do(served, caplog) -> None:
    project = ProjectFolder(served)
    answer(served, {"new": "a new text"}, {"p1": "fee", "p2": "fee", "new": "fee"})
    for corrections, made in (("set_aside", 0), ("take", 1)):
        config = parse({"data": {"corrections": corrections}}, where="test")
        assert len(ingest_settled(config, project, Serving(min_rows=3), settle=60.0)) == made
    assert "2 labels contradict" in caplog.text


def test_a_row_may_be_corrected_back(served) -> None:
    for label in ("fee", "loss", "fee"):
        answer(served, {}, {"p1": label})
        (made,) = read(served)
        assert made.corrected == 1 and stream(served)["p1"][2] == label


@pytest.mark.parametrize("by", ["feedback on the row", "feedback on its text", "a file", "a file with another text"])
def test_what_was_said_before_a_correction_does_not_undo_it(served, by, caplog) -> None:
    caplog.set_level(logging.INFO)
    answer(served, {"same": TEXTS["p1"]}, {"same": "loss"})  # the same text twice: the second one is no row
    assert read(served) == []
    if by == "feedback on the row":
        answer(served, {}, {"p1": "fee"})
        read(served)
    elif by == "feedback on its text":
        answer(served, {"other": TEXTS["p1"]}, {"other": "fee"})
        read(served)
    else:
        text = TEXTS["p1"] if by == "a file" else "it was said otherwise"
        read_file(served, [("p1", text, "fee")], "mended")
    after = stream(served)
    assert "fee" in {row[2] for row in after.values()}
    for _ in range(2):
        assert read(served, "set_aside") == read(served) == []
    assert stream(served) == after
    assert "contradict" not in caplog.text and "older than a correction of their row and are ignored" in caplog.text


def test_feedback_after_a_correction_from_a_file_counts_and_keeps_the_file_s_text(served) -> None:
    read_file(served, [("p1", "it was said otherwise", "fee")], "mended")
    answer(served, {}, {"p1": "box"})
    (made,) = read(served)
    assert made.corrected == 1 and stream(served)["p1"][1:] == ("it was said otherwise", "box")


def test_a_row_from_a_file_that_was_never_predicted_is_not_open_to_feedback(served) -> None:
    read_file(served, [("f1", "a row of a file", "loss")], "one")
    answer(served, {}, {"f1": "fee"})
    assert read(served) == [] and stream(served)["f1"][2] == "loss"


def test_labels_from_a_file_name_the_command_that_takes_them(served) -> None:
    pd.DataFrame([("p1", "fee"), ("p2", "loss")], columns=["id", "label"]).to_csv(served / "late.csv", index=False)
    pd.DataFrame([("p1", "fee")], columns=["id", "label"]).to_csv(served / "wrong.csv", index=False)
    aside, take = (parse({"data": {"corrections": what}}, where="test") for what in ("set_aside", "take"))
    with pytest.raises(SourceError, match=r"if they correct the earlier rows: cl label --corrections$"):
        ingest(aside, ProjectFolder(served), LateLabels(path="wrong.csv"))
    (made,) = ingest(take, ProjectFolder(served), LateLabels(path="late.csv"))
    assert (made.total, made.corrected, made.seen, stream(served)["p1"][2]) == (1, 1, 1, "fee")


@pytest.mark.parametrize("when", ["before it is forgotten", "afterwards"])
def test_a_label_for_a_row_that_was_forgotten_stays_out(tmp_path, tiny_model, when) -> None:
    project = shop(tmp_path / "shop", tiny_model)
    answer(project.root, dict(TEXTS), dict.fromkeys(TEXTS, "loss"))
    ingest_served(project.root)
    if when == "before it is forgotten":
        answer(project.root, {}, {"p1": "fee"})
    forgotten(project, ["p1"])
    assert "p1" not in stream(project.root)
    answer(project.root, {}, {"p1": "fee", "p2": "fee"})
    (made,) = ingest_served(project.root, take_corrections=True)
    assert (made.total, made.corrected) == (1, 1)
    assert "p1" not in stream(project.root) and stream(project.root)["p2"][2] == "fee"
