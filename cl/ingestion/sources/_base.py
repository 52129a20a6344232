"""Base classes of sources: a source yields batches, and each batch yields chunks of raw rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cl.heavy import pd
from cl.plugins import Plugin
from cl.tasks import Schema

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Common names of the splits, mapped to ours."""


@dataclass(frozen=True)
class InputBatch:
    """One named input, as chunks of raw rows.

    ``stamp`` identifies the input's state before it is read; empty if that is unknown. ``correct_with`` is the command
    that takes its rows in place of the earlier ones. ``is_later``: its rows were given later than any correction of
    them, so what one has replaced may come back. ``expected_rows`` returns about how many rows there are, or None.
    """

    name: str
    origin: str
    chunks: Iterator[pd.DataFrame]
    stamp: str = ""
    correct_with: str = "cl ingest --corrections"
    is_later: bool = False
    expected_rows: Callable[[], int | None] = lambda: None


@dataclass(frozen=True)
class Stamp:
    """Digest and modification time of an input; a different digest means that the input has changed."""

    digest: str
    changed_at: float

    def rested(self, seconds: float, now: float) -> bool:
        """Return whether the input has been unchanged for so many seconds; a time in the future counts as unchanged.

        >>> Stamp(digest="", changed_at=95.0).rested(10.0, now=100.0)
        False
        """
        return not 0 <= now - self.changed_at < seconds


def stamp_of(files: Sequence[Path]) -> Stamp:
    """Return one digest over names, sizes and times of files, and the latest time; the digest of no files is empty."""
    entries = [_state(file) for file in files]
    digest = hashlib.sha256(repr(entries).encode()).hexdigest() if entries else ""
    return Stamp(digest, max((time for *_, time in entries), default=0.0))


def _state(file: Path) -> tuple[str, int | str, float]:
    try:
        stat = file.stat()
    except OSError as error:
        return str(file), str(error), 0.0  # reading the file will report it; the others must not wait for it
    return str(file), stat.st_size, stat.st_mtime


class Source(Plugin):
    """Base of all sources.

    ``canonical`` marks sources whose rows come from the log: they have the canonical columns (id, those of the task's
    schema, and date), whatever column names the configuration gives.
    """

    canonical: ClassVar[bool] = False

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield the inputs in order; relative paths are inside ``root``.

        Raises:
            SourceError: the path, table or query cannot be read.
        """
        raise NotImplementedError

    def correcting(self, *, taken: bool) -> Source:
        """Return this source for a run that takes corrections or sets them aside; most yield the same rows for both."""
        return self

    def for_schema(self, schema: Schema) -> Source:
        """Return this source for rows of a schema; most yield their columns as they are, whatever it is."""
        return self

    def check(self, root: Path) -> None:
        """Check cheaply for problems, so that the user learns of them before anything is read.

        Raises:
            SourceError: a part of the input cannot be read.
        """

    def nothing_there(self, root: Path) -> str | None:
        """Return that the input is there and holds nothing yet, in words; None: it holds something, or is not there."""
        return None

    def stamp(self, root: Path) -> Stamp | None:
        """Return a stamp of the input without reading it; None if the source must be read every time."""
        return None
