"""Rows from files: CSV, JSON lines (both also gzipped), Parquet, or a folder of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pydantic import Field

from cl.errors import SourceError
from cl.ingestion.file_formats import READERS, chunks_of, format_of, refuse_empty
from cl.ingestion.sources import SPLIT, SPLIT_NAMES, Batch, Source, Stamp, stamp_of

log = logging.getLogger(__name__)


class Files(Source):
    """One file, or a folder whose files are one batch each, sorted by name.

    In a folder, files called train, validation (or dev) and test, alone or after a name and a dot, are the splits of
    one batch: ``ai.train.jsonl.gz`` and ``ai.test.jsonl.gz`` make `ai`.

    >>> Files(path="inbox", only="month-*").only
    'month-*'
    """

    path: str = Field(description="A file or a folder, inside the project unless it is absolute")
    only: str | None = Field(None, description="When a folder is read: a glob that file names must match")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[Batch]:
        """Yield one batch a file; rows are read when the chunks are asked for.

        Raises:
            SourceError: nothing is there or nothing can be read; its chunks: a file is empty or damaged.
        """
        place = root / Path(self.path).expanduser()
        paths = self._found(place)
        for name, parts in group_splits(paths).items():
            one = parts[0] if len(parts) == 1 else parts[0].parent
            origin = one.relative_to(root) if one.is_relative_to(root) else one
            yield Batch(name=name, origin=str(origin), chunks=_read(parts, chunk_rows), stamp=_stamp(parts))

    def check(self, root: Path) -> None:
        """Tell of empty files.

        Raises:
            SourceError: nothing is there, nothing can be read, or a file is empty.
        """
        for path in self._found(root / Path(self.path).expanduser()):
            refuse_empty(path)

    def stamp(self, root: Path) -> Stamp | None:
        """Return names, sizes and times of the files as one digest, and the time of the newest."""
        place = root / Path(self.path).expanduser()
        try:
            return stamp_of(self._readable(place) if place.is_dir() else [place])
        except (OSError, ValueError, NotImplementedError):
            return None  # whoever reads it says what is wrong

    def _found(self, place: Path) -> list[Path]:
        try:
            if not place.exists():
                raise SourceError(f"{place}: no such file or folder")
            paths = self._inside(place) if place.is_dir() else [place]
        except (OSError, ValueError, NotImplementedError) as error:
            raise SourceError(f"{place}: cannot be read: {error}") from None
        if format_of(paths[0]) is None:
            raise SourceError(f"{place}: cannot be read; known kinds of file are: {', '.join(READERS)}")
        return paths

    def _inside(self, folder: Path) -> list[Path]:
        readable = self._readable(folder)
        if not readable:
            matching = f" matching '{self.only}'" if self.only else ""
            raise SourceError(f"{folder}: no readable file{matching}; known kinds are: {', '.join(READERS)}")
        return readable

    def _readable(self, folder: Path) -> list[Path]:
        every = sorted(folder.glob(self.only or "*"))
        found = [path for path in every if path.is_file() and not path.name.startswith(".")]
        known = [path for path in found if format_of(path) is not None]
        for path in set(found) - set(known):
            log.info("%s: skipped, not one of %s", path, ", ".join(READERS))
        return known


def group_splits(paths: list[Path]) -> dict[str, list[Path]]:
    """Return the files of each batch by its name, in order; the splits of one thing are one batch."""
    batches: dict[str, list[Path]] = {}
    for path in paths:
        stem = _stem(path)
        if len(paths) > 1 and split_of(path) is not None:
            batches.setdefault(stem.rpartition(".")[0] or path.parent.name, []).append(path)
        else:  # a.csv and a.jsonl are two things: the second keeps its ending
            batches[stem if stem not in batches else path.name] = [path]
    return batches


def split_of(path: Path) -> str | None:
    """Return train, validation or test where the file's name says so, else None."""
    return SPLIT_NAMES.get(_stem(path).rpartition(".")[2].lower())


def _stamp(parts: list[Path]) -> str:
    try:
        return stamp_of(parts).digest
    except OSError:
        return ""  # whoever reads it says what is wrong


def _stem(path: Path) -> str:
    return path.name.removesuffix(format_of(path) or "")


def _read(parts: list[Path], chunk_rows: int) -> Iterator[pd.DataFrame]:
    for path in parts:
        split = split_of(path) if len(parts) > 1 else None
        for chunk in chunks_of(path, chunk_rows):
            yield chunk if split is None else chunk.assign(**{SPLIT: split})
