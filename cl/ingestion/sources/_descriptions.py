"""Descriptions of labels as training rows, for `cl.ingestion.describe_labels`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, Field

from cl.heavy import pd
from cl.ingestion.sources._base import InputBatch, Source
from cl.records import DESCRIPTIONS


class Descriptions(Source):
    """The descriptions of labels in cl.yaml, as one batch of training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    canonical: ClassVar[bool] = True

    frame: pd.DataFrame = Field(description="The rows, in canonical columns, with their split")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield a single batch."""
        chunks = (self.frame.iloc[start : start + chunk_rows] for start in range(0, len(self.frame), chunk_rows))
        yield InputBatch(
            name="descriptions", origin=DESCRIPTIONS, chunks=(chunk.reset_index(drop=True) for chunk in chunks)
        )
