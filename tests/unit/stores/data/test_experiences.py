from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cl.config import parse
from cl.errors import StoreError
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.data.experiences import Experiences, slug
from cl.stores.project_folder import ProjectFolder


@pytest.fixture
def store(tmp_path: Path) -> Experiences:
    project = ProjectFolder(tmp_path)
    for name in ("one", "two"):
        rows = [{"id": f"{name}-{n}", "text": f"{name} {n}", "label": "ab"[n % 2]} for n in range(40)]
        broken = [{"id": "x", "text": "", "label": "a"}] if name == "two" else []
        pd.DataFrame(rows + broken).to_csv(tmp_path / f"{name}.csv", index=False)
        ingest(parse({}, where="test"), project, Files(path=f"{name}.csv"))
    return Experiences(project)


def test_experiences_come_in_the_order_of_the_stream(store) -> None:
    assert [one.id for one in store.all()] == ["0001-one", "0002-two"]
    assert store.next_id("Three!") == "0003-three"
    assert Experiences(ProjectFolder(store.project.root / "fresh")).all() == []


def test_after_9999_the_order_holds(store) -> None:
    (store.project.experiences / "0001-one").rename(store.project.experiences / "10000-one")
    (store.project.experiences / "0002-two").rename(store.project.experiences / "9999-two")
    assert store.next_id("x") == "10001-x"
    assert [one.name for one in store.all()] == ["two", "one"]


def test_rows_of_several_experiences_follow_each_other(store) -> None:
    ids = ["0002-two", "0001-one"]
    rows = store.rows_of(ids, "train")
    assert list(rows.columns) == ["id", "text", "label", "date"]
    assert len(rows) == sum(store.get(id).rows["train"] for id in ids)
    expected = pd.concat([store.rows(id, "train") for id in ids], ignore_index=True)
    pd.testing.assert_frame_equal(rows, expected)
    assert store.rows("0001-one", "test")["date"].isna().all()


def test_some_rows_are_found_without_reading_all_of_them(store, monkeypatch) -> None:
    monkeypatch.setattr("cl.stores.data.experiences.BATCH_ROWS", 7)
    whole = pd.concat([store.rows("0001-one", split) for split in ("train", "validation", "test")], ignore_index=True)
    assert store.column("0001-one", "label").equals(whole[["label"]])
    every = np.arange(40)
    for places in (every, every[::3], every[-1:], every[:0]):
        pd.testing.assert_frame_equal(store.rows_at("0001-one", places), whole.iloc[places].reset_index(drop=True))
    named = store.named("0001-one", [whole["id"][39], whole["id"][3], "gone"])
    pd.testing.assert_frame_equal(named, whole.iloc[[3, 39]].reset_index(drop=True))


def test_rows_of_no_experience_are_an_empty_frame(store) -> None:
    assert list(store.rows_of([], "train").columns) == ["id", "text", "label", "date"]
    assert store.rows_of([], "train").empty


def test_quarantined_rows_are_there_or_none_were(store) -> None:
    assert store.quarantined("0001-one").empty
    assert store.quarantined("0002-two")[["id", "reason"]].to_dict("records") == [{"id": "x", "reason": "missing text"}]


@pytest.mark.parametrize("id", ["0009-nine", "../..", ".draft-0001-one", ""])
def test_an_experience_that_is_not_there_is_named_with_those_that_are(store, id) -> None:
    with pytest.raises(StoreError, match="there are: 0001-one, 0002-two"):
        store.rows(id, "train")


@pytest.mark.parametrize("at", [20, 60, -60, -2])
def test_a_changed_byte_is_not_read_as_rows(store, at) -> None:
    path = store.project.experiences / "0001-one" / "train.parquet"
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"train\.parquet: is damaged") as error:
        store.rows("0001-one", "train")
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_part_is_named(store) -> None:
    folder = store.project.experiences / "0001-one"
    (folder / "test.parquet").unlink()
    with pytest.raises(StoreError, match=r"test\.parquet: is missing"):
        store.rows("0001-one", "test")
    (folder / "experience.json").write_text('{"id": "0001-one"')
    with pytest.raises(StoreError, match=r"experience\.json: is damaged"):
        store.all()
    (folder / "experience.json").unlink()
    with pytest.raises(StoreError, match=r"experience\.json: cannot be read"):
        store.get("0001-one")


@pytest.mark.parametrize(
    ("name", "says"), [("Été 2024/5", "été-2024-5"), ("...", "batch"), ("a_b", "a-b"), ("x" * 90, "x" * 60)]
)
def test_a_name_becomes_part_of_a_file_name(name, says) -> None:
    assert slug(name) == says
