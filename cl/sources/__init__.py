"""Where labelled rows come from: one file a source, rows in chunks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cl.plugins import Plugin

SPLIT = "__split__"
"""Column of a chunk that says which split its rows belong to, where the source itself knows; else absent."""


SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call the splits, and what they are."""


@dataclass(frozen=True)
class Batch:
    """One named input that becomes an experience, as chunks of raw rows."""

    name: str
    origin: str
    chunks: Iterator[pd.DataFrame]


class Source(Plugin):
    """Base of all sources."""

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[Batch]:
        """Yield the inputs there are, in order; relative paths are inside ``root``.

        Raises:
            SourceError: the path, table or query cannot be read.
        """
        raise NotImplementedError
