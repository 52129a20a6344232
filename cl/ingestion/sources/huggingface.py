"""Rows from a data set of the Hugging Face Hub, or a local folder of its files, through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from cl.errors import SourceError
from cl.extras import require
from cl.heavy import pd
from cl.ingestion.formats.arrow_rows import batch_chunks
from cl.ingestion.formats.class_names import names_of_features
from cl.ingestion.sources import SPLIT, SPLIT_NAMES, InputBatch, Source
from cl.ingestion.values import describe_error


class Huggingface(Source):
    """A data set by its id. Its splits train, validation and test are those of one batch; others are batches.

    >>> Huggingface(id="my-org/tickets", revision="v2").id
    'my-org/tickets'
    """

    id: str = Field(description="Id of the data set on the Hub, or a folder, inside the project unless it is absolute")
    subset: str | None = Field(None, description="Subset of the data set (its configuration); null: the default one")
    revision: str | None = Field(None, description="Branch, tag or commit; null: the newest")
    split: str | None = Field(None, description="The only split to read; null: all")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield a batch of the known splits, and one of each other split.

        Raises:
            SourceError: the library is missing, or the data set cannot be loaded.
        """
        splits = self._load(root)
        name = Path(self.id).name
        known = {split: rows for split, rows in splits.items() if split in SPLIT_NAMES and len(splits) > 1}
        if known:
            yield InputBatch(name=name, origin=self.id, chunks=_chunks(root, known, chunk_rows))
        for split, rows in splits.items():
            if split not in known:
                alone = len(splits) == 1
                yield InputBatch(
                    name=name if alone else f"{name}-{split}",
                    origin=self.id if alone else f"{self.id} ({split})",
                    chunks=_chunks(root, {"": rows}, chunk_rows),
                )

    def _load(self, root: Path) -> dict[str, Any]:
        require(f"{self.id}: a data set by its id", "datasets", error=SourceError)
        from datasets import load_dataset
        from datasets.utils.logging import disable_progress_bar

        folder = root / Path(self.id).expanduser()
        disable_progress_bar()
        try:
            loaded = load_dataset(
                str(folder) if folder.is_dir() else self.id, self.subset, split=self.split, revision=self.revision
            )
        except Exception as error:  # of whatever type: the library raises its own and those of what it uses
            raise SourceError(f"{self.id}: the data set cannot be loaded: {describe_error(error)}") from error
        return {self.split: loaded} if self.split else dict(loaded)


def _chunks(root: Path, splits: dict[str, Any], chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of splits, named for them unless that is empty, with the names of their classes."""
    for split, rows in splits.items():
        tables = rows.with_format("arrow").iter(batch_size=min(chunk_rows, 1_000))
        batches = (batch for table in tables for batch in table.to_batches())
        names = names_of_features(rows.features.to_dict())
        if not len(rows):
            continue
        for chunk in batch_chunks(root, batches, chunk_rows, size=None, names=names):
            if split:
                chunk[SPLIT] = SPLIT_NAMES[split]
            yield chunk
