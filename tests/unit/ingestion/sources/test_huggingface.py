"""Data sets by id, through the `datasets` library itself: here of folders, for no test needs the network."""

from __future__ import annotations

import pandas as pd
import pytest

from cl import plugins
from cl.config import parse
from cl.errors import SourceError
from cl.ingestion.ingest import ingest
from cl.ingestion.sources import Source
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder

datasets = pytest.importorskip("datasets", reason="pip install 'perennial-ml[datasets]'")


@pytest.fixture(autouse=True)
def _no_cache_of_others(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def save(folder, splits: dict[str, int]) -> None:
    folder.mkdir()
    features = datasets.Features(
        id=datasets.Value("string"), text=datasets.Value("string"), label=datasets.ClassLabel(names=["fee", "loan"])
    )
    for split, count in splits.items():
        rows = {
            "id": [f"{split}{number}" for number in range(count)],
            "text": [f"{split} message {number}" for number in range(count)],
            "label": [number % 2 for number in range(count)],
        }
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(folder / f"{split}.parquet"))


def source(**settings) -> Source:
    return plugins.build(Source, {"name": "huggingface", **settings})


def test_a_data_set_keeps_its_splits_and_the_names_of_its_classes(tmp_path) -> None:
    save(tmp_path / "tickets", {"train": 6, "validation": 2, "test": 4})
    (made,) = ingest(parse({}, where="test"), ProjectFolder(tmp_path), source(id="tickets"))
    assert made.name == "tickets" and made.rows == {"train": 6, "validation": 2, "test": 4}
    assert set(Experiences(ProjectFolder(tmp_path)).rows(made.id, "train")["label"]) == {"fee", "loan"}


def test_one_split_alone_is_a_batch_that_is_split_by_ids(tmp_path) -> None:
    save(tmp_path / "tickets", {"train": 200, "test": 4})
    (batch,) = source(id=str(tmp_path / "tickets"), split="train").batches(tmp_path, chunk_rows=64)
    chunks = list(batch.chunks)
    assert [len(chunk) for chunk in chunks] == [64, 64, 64, 8]
    assert list(pd.concat(chunks).columns) == ["id", "text", "label"]


def test_what_cannot_be_loaded_is_one_line_that_names_it(tmp_path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match="broken: the data set cannot be loaded: ") as error:
        list(source(id="broken").batches(tmp_path, chunk_rows=10))
    assert "\n" not in str(error.value)
