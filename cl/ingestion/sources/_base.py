"""Where labelled rows come from: one file a source, rows in chunks so that memory stays bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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
    """One named input that becomes an experience, as chunks of raw rows.

    ``stamp`` is what it looks like from outside, before it is read; empty where that cannot be told.
    """

    name: str
    origin: str
    chunks: Iterator[pd.DataFrame]
    stamp: str = ""


@dataclass(frozen=True)
class Stamp:
    """What an input looks like from outside: another digest means that something has changed in it."""

    digest: str
    changed_at: float

    def rested(self, seconds: float, now: float) -> bool:
        """Tell whether the input has lain still for so long; a time in the future counts as still.

        >>> Stamp(digest="", changed_at=95.0).rested(10.0, now=100.0)
        False
        """
        return not 0 <= now - self.changed_at < seconds


def stamp_of(files: Sequence[Path]) -> Stamp:
    """Return names, sizes and times of files as one digest, which is empty where there are none."""
    told = [(str(one), one.stat().st_size, one.stat().st_mtime) for one in files]
    digest = hashlib.sha256(repr(told).encode()).hexdigest() if told else ""
    return Stamp(digest, max((time for *_, time in told), default=0.0))


class Source(Plugin):
    """Base of all sources.

    ``canonical`` says that its rows have been through the log: they come in the project's own columns (id, text and
    label, or tokens and tags, and date), whatever the configuration calls those of its files.
    """

    canonical: ClassVar[bool] = False

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[Batch]:
        """Yield the inputs there are, in order; relative paths are inside ``root``.

        Raises:
            SourceError: the path, table or query cannot be read.
        """
        raise NotImplementedError

    def check(self, root: Path) -> None:
        """Say what is wrong at a glance, so that whoever stands beside learns it before anything is read.

        Raises:
            SourceError: a part of the input cannot be read.
        """

    def stamp(self, root: Path) -> Stamp | None:
        """Return a stamp of the input that costs no reading; None where there is none, and it must be read."""
        return None
