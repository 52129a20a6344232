from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from cl.config import Config
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts
from cl.stores.data.removal import quarantined_rows, remove_from_experience, remove_from_quarantine
from cl.stores.data.tombstones import RemovalRecord, forgotten_mask, salt_ids
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification
from tests.support.tiny import made_sentences


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    """One experience of 40 rows and two in quarantine."""
    broken = pd.DataFrame({"id": ["odd-1", "odd-2"], "text": ["x", "y"], "label": ["fee", "fee"]})
    pd.concat([made_sentences(["loan", "fee"], 40, seed=1), broken]).to_csv(tmp_path / "one.csv", index=False)
    ingest(Config(), ProjectFolder(tmp_path), Files(path="one.csv"))
    return ProjectFolder(tmp_path)


def ids(project: ProjectFolder) -> set[str]:
    found = Experiences(project)
    return {id for split in ("train", "validation", "test") for id in found.rows("0001-one", split)["id"]}


def test_an_experience_without_rows_has_a_record_that_fits(project, tmp_path) -> None:
    before = Experiences(project).get("0001-one")
    remove_from_experience(
        project,
        "0001-one",
        {"r1-0", "r1-1", "r1-2"},
        tmp_path / "scratch",
        schema=TextClassification.schema,
        field="forgotten",
    )
    after = Experiences(project).get("0001-one")
    assert ids(project) == {f"r1-{at}" for at in range(3, 40)}
    assert (after.total, after.forgotten) == (37, 3) and after.labels == {"fee": 19, "loan": 18}
    assert after.digest != before.digest and after.quarantined == before.quarantined


def test_killed_between_two_renames_it_is_finished_by_the_next_call(project, tmp_path, monkeypatch) -> None:
    real, scratch = Path.rename, tmp_path / "scratch"

    def deadly(path: Path, target: Path) -> Path:
        done = real(path, target)
        if path == project.experiences / "0001-one":
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", deadly)
        with pytest.raises(KeyboardInterrupt):
            remove_from_experience(
                project, "0001-one", {"r1-0"}, scratch, schema=TextClassification.schema, field="forgotten"
            )
    assert not (project.experiences / "0001-one").exists()
    for _ in range(2):
        remove_from_experience(
            project, "0001-one", {"r1-0"}, scratch, schema=TextClassification.schema, field="forgotten"
        )
    assert "r1-0" not in ids(project) and Experiences(project).get("0001-one").forgotten == 1


def test_quarantine_loses_rows_by_their_content_once(project) -> None:
    held = quarantined_rows(project, "0001-one", {"text": "text", "label": "label"})
    assert set(held["id"]) == {"odd-1", "odd-2"} and set(held["text"]) == {"x", "y"}
    gone = set(held[held["text"] == "x"]["hash"])
    for _ in range(2):
        remove_from_quarantine(project, "0001-one", gone)
    assert Experiences(project).quarantined("0001-one")["id"].tolist() == ["odd-2"]
    assert Experiences(project).get("0001-one").quarantined == {"too short": 1}


def test_a_forgotten_id_is_known_by_its_salted_hash_alone() -> None:
    def removal(salt: str, *names: str) -> RemovalRecord:
        kept = salt_ids(hash_texts(names), salt)
        assert kept != salt_ids(hash_texts(names), "ff" + salt[2:])
        return RemovalRecord(
            number=1,
            forgotten_at=datetime.now(UTC),
            by="",
            why="",
            rows={},
            quarantined=0,
            answers=0,
            salt=salt,
            ids=kept,
        )

    past = [removal("aa" * 16, "one"), removal("bb" * 16, "two")]
    assert forgotten_mask(past, hash_texts(["one", "two", "three"])).tolist() == [True, True, False]
    assert forgotten_mask([], hash_texts(["one"])).tolist() == [False]
