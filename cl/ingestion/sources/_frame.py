"""Rows of a data frame, for `Project.ingest`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ConfigDict, Field

from cl.errors import SourceError
from cl.heavy import pd
from cl.ingestion.bounds import refuse_columns
from cl.ingestion.sources._base import InputBatch, Source

ORIGIN = "a data frame"


class Frame(Source):
    """The rows of a data frame, as one batch."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    frame: pd.DataFrame = Field(description="The rows, in the columns that the configuration names")
    label: str = Field("frame", description="The name of the experience")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield a single batch.

        Raises:
            SourceError: the frame has no rows, or two columns of one name.
        """
        self.check(root)
        rows = self.frame.reset_index(drop=True).astype(object).where(self.frame.notna().reset_index(drop=True), None)
        chunks = (rows.iloc[start : start + chunk_rows] for start in range(0, len(rows), chunk_rows))
        yield InputBatch(name=self.label, origin=ORIGIN, chunks=(chunk.reset_index(drop=True) for chunk in chunks))

    def check(self, root: Path) -> None:
        """Refuse a frame without rows, or with two columns of one name.

        Raises:
            SourceError: the frame has no rows, or two columns of one name.
        """
        if self.frame.empty:
            raise SourceError(f"{ORIGIN}: it has no rows")
        refuse_columns(ORIGIN, list(self.frame.columns))
