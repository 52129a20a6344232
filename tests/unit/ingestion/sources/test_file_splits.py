from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cl.config import parse
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder


def written(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = [
        json.dumps({"id": f"{path.name}{at}", "text": text, "label": label}) for at, (text, label) in enumerate(rows)
    ]
    path.write_text("\n".join(lines))


def test_files_named_for_splits_make_one_experience_with_those_splits(tmp_path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for domain in ("bank", "shop"):
        for name, count in (("train", 5), ("dev", 2), ("test", 3)):
            rows = [(f"{domain} {name} message {at}", "a" if at % 2 else "b") for at in range(count)]
            written(inbox / f"{domain}.{name}.jsonl", rows)
    made = ingest(parse({}, where="test"), ProjectFolder(tmp_path), Files(path="inbox"))
    assert [one.id for one in made] == ["0001-bank", "0002-shop"]
    assert [one.rows for one in made] == [{"train": 5, "validation": 2, "test": 3}] * 2
    texts = Experiences(ProjectFolder(tmp_path)).rows("0002-shop", "validation")["text"]
    assert texts.str.startswith("shop dev").all()


def test_a_single_file_named_train_is_split_by_the_hash_of_its_ids(tmp_path) -> None:
    written(tmp_path / "train.jsonl", [(f"message number {at}", "a" if at % 2 else "b") for at in range(200)])
    (one,) = ingest(parse({}, where="test"), ProjectFolder(tmp_path), Files(path="train.jsonl"))
    assert one.name == "train" and min(one.rows.values()) > 10


def test_other_files_of_a_folder_are_one_experience_each(tmp_path) -> None:
    for month in (1, 2):
        rows = pd.DataFrame(
            {"id": [f"{month}-{at}" for at in range(30)], "text": [f"m{month} n{at}" for at in range(30)]}
        )
        rows.assign(label="a").to_csv(tmp_path / f"month-{month}.csv", index=False)
    made = ingest(parse({}, where="test"), ProjectFolder(tmp_path), Files(path=".", only="*.csv"))
    assert [one.name for one in made] == ["month-1", "month-2"]
