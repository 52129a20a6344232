"""Labels that come after the answers: joined by id with what the champion was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from cl.errors import SourceError
from cl.ingestion.file_formats import UNREADABLE
from cl.ingestion.sources import Batch, Source
from cl.ingestion.sources.files import Files
from cl.ingestion.values import as_text
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder


class LateLabels(Source):
    """Labels from files, completed with the input that was logged when `cl predict --from` answered it.

    A label may come late: the log is kept. It may come twice: a row that the stream holds already is dropped, and one
    that says something else than before is set aside. It may never come: then the row stays in the log. A label
    for a row that was never answered has no input, and is set aside for that.
    """

    canonical: ClassVar[bool] = True

    path: str = Field(description="A file or a folder, inside the project unless it is absolute")
    id: str = Field("id", description="Column with the id that was answered")
    label: str = Field("label", description="Column with the right answer: a label, or a list of tags")
    input: Literal["text", "tokens"] = Field("text", description="What was answered: texts, or lists of tokens")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[Batch]:
        """Yield one batch a file, its rows with id, date, input and label.

        Raises:
            SourceError: nothing can be read, or a column is not there.
        """
        log = Predictions(ProjectFolder(root))
        for batch in Files(path=self.path).batches(root, chunk_rows=chunk_rows):
            chunks = (self._completed(chunk, log, origin=batch.origin) for chunk in batch.chunks)
            yield Batch(name=f"labels-{batch.name}", origin=batch.origin, chunks=chunks)

    def check(self, root: Path) -> None:
        """Tell of empty files.

        Raises:
            SourceError: nothing is there, nothing can be read, or a file is empty.
        """
        Files(path=self.path).check(root)

    def _completed(self, chunk: pd.DataFrame, log: Predictions, *, origin: str) -> pd.DataFrame:
        for name in (self.id, self.label):
            if name not in chunk:
                there = ", ".join(str(one) for one in chunk.columns) or "none"
                raise SourceError(f"{origin}: no column '{name}'; there are: {there}")
        ids = pd.Series(as_text(chunk[self.id]), index=chunk.index, dtype=object)
        answered = log.of([id for id in ids if id is not None]).set_index("id")
        answer = "label" if self.input == "text" else "tags"
        full = pd.DataFrame({"id": ids, answer: chunk[self.label]})
        for name in (self.input, "date"):
            full[name] = ids.map(answered[name]) if name in answered else None
        return full.assign(**{UNREADABLE: chunk[UNREADABLE]}) if UNREADABLE in chunk else full
