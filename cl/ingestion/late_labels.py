"""Join labels that arrive after the predictions with the logged inputs, by id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
from pydantic import Field, PrivateAttr

from cl.errors import SourceError
from cl.ingestion.check_rows import list_columns
from cl.ingestion.internal_columns import UNANSWERED, UNREADABLE
from cl.ingestion.sources import InputBatch, Source
from cl.ingestion.sources.files import Files
from cl.ingestion.values import as_text
from cl.stores.predictions.logged_values import from_log
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Schema


class LateLabels(Source):
    """Labels from files, joined with the inputs that `cl predict --from` logged.

    A label may arrive late, since the log is kept. If it arrives twice, a row that the stream already holds is
    dropped, and a row with a different label is set aside. If it never arrives, the row stays in the log. A label for
    a row that was never predicted has no input and is set aside.
    """

    canonical: ClassVar[bool] = True

    path: str = Field(description="A file or a folder, inside the project unless it is absolute")
    id: str = Field("id", description="Column with the id of the prediction")
    label: str = Field("label", description="Column with the correct answer")
    _schema: Schema | None = PrivateAttr(default=None)

    def for_schema(self, schema: Schema) -> LateLabels:
        """Return this source for inputs and answers of a schema."""
        source = self.model_copy()
        source._schema = schema
        return source

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield one batch per file; its rows have id, date, input and label.

        Raises:
            SourceError: no file can be read, or a column is missing.
        """
        log = Predictions(ProjectFolder(root))
        for batch in Files(path=self.path).batches(root, chunk_rows=chunk_rows):
            chunks = (self._join_inputs(chunk, log, origin=batch.origin) for chunk in batch.chunks)
            name = f"labels-{batch.name}"
            yield InputBatch(name=name, origin=batch.origin, chunks=chunks, correct_with="cl label --corrections")

    def check(self, root: Path) -> None:
        """Refuse missing, unreadable and empty files.

        Raises:
            SourceError: the path does not exist, no file can be read, or a file is empty.
        """
        Files(path=self.path).check(root)

    def _join_inputs(self, chunk: pd.DataFrame, log: Predictions, *, origin: str) -> pd.DataFrame:
        for name in (self.id, self.label):
            if name not in chunk:
                raise SourceError(f"{origin}: no column '{name}'; there are: {list_columns(chunk)}")
        ids = pd.Series(as_text(chunk[self.id]), index=chunk.index, dtype=object)
        assert self._schema is not None
        logged = from_log(log.of([id for id in ids if id is not None]), self._schema)
        predictions = logged.set_index("id")
        rows = pd.DataFrame({"id": ids, self._schema.answer.name: chunk[self.label]})
        rows = rows.assign(
            **{column.name: chunk[column.name] for column in self._schema.further if column.name in chunk}
        )
        for name in (*self._schema.input_names, "date"):
            rows[name] = ids.map(predictions[name]) if name in predictions else None
        rows[UNANSWERED] = ids.notna() & ~ids.isin(predictions.index)
        if UNREADABLE in chunk:
            rows[UNREADABLE] = chunk[UNREADABLE]
        return rows
