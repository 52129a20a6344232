"""Each example of docs/how-to/files.md holds what the table there says."""

from __future__ import annotations

import logging
import re

import pandas as pd
import pytest

from cl.ingestion.sources.files import Files
from cl.ingestion.tag_schemes import BatchTags
from tests.support.repository import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "formats"
LINE = re.compile(
    r"\| .+ \| \[.+\]\(\.\./examples/formats/(?P<path>[^)]+)\) "
    r"\| (?P<columns>.+) \| (?P<labels>.+) \| (?P<left_out>\d) \|"
)
TABLE = [match.groupdict() for match in LINE.finditer((ROOT / "docs/how-to/files.md").read_text(encoding="utf-8"))]
SENTENCES = [(["Anna", "Lee", "sings"], ["B-PER", "I-PER", "O"]), (["In", "Paris", "."], ["O", "B-LOC", "O"])]


def test_every_example_is_in_the_table() -> None:
    listed = {row["path"].split("/")[0] for row in TABLE}
    assert listed == {path.name for path in EXAMPLES.iterdir()} and len(TABLE) > 20


@pytest.mark.parametrize("row", TABLE, ids=[row["path"] for row in TABLE])
def test_an_example_holds_what_the_table_says(row, caplog) -> None:
    if row["path"].endswith(".xlsx"):
        pytest.importorskip("openpyxl", reason="Excel files need a package: pip install 'perennial-ml[excel]'")
    path = EXAMPLES / row["path"].removesuffix("/dataset_dict.json")
    caplog.set_level(logging.WARNING)
    (batch,) = Files(path=str(path)).batches(ROOT, chunk_rows=100)
    frame = pd.concat(batch.chunks, ignore_index=True)
    columns = row["columns"].split(", ")
    assert set(columns) <= set(frame.columns) and len(frame) == 2
    if "id" in columns:
        assert list(map(str, frame["id"])) == ["1", "2"]
    if "label" in columns:
        assert frame["label"].tolist() == row["labels"].split(", ") and all(frame["text"].str.len() > 10)
    else:
        tags = BatchTags("example", "tags").to_bio2(frame)["tags"].tolist()
        assert list(zip(frame["tokens"].tolist(), tags, strict=True)) == SENTENCES
        assert row["labels"] == "PER, LOC"
    said = [int(count) for message in caplog.messages for count in re.findall(r"left out: (\d+)", message)]
    assert sum(said) == int(row["left_out"])
