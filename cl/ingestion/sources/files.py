"""Rows from files of any known format, a folder of them, or a Hugging Face data set saved on disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import Field

from cl.errors import SourceError
from cl.heavy import pd
from cl.ingestion.count_rows import count_rows
from cl.ingestion.file_formats import SUFFIXES, format_of, holds_rows, read_chunks, refuse_empty
from cl.ingestion.formats.saved_dataset import is_saved_dataset, saved_splits
from cl.ingestion.sources import SPLIT, SPLIT_NAMES, InputBatch, Source, Stamp, stamp_of
from cl.ingestion.values import describe_error, printable, readable_path

log = logging.getLogger(__name__)


class Files(Source):
    """One file, or a folder whose files are one batch each, sorted by name.

    In a folder, files named train, validation (or dev) and test, alone or after a prefix and a dot, are the splits of
    one batch: ``ai.train.jsonl.gz`` and ``ai.test.jsonl.gz`` form the batch `ai`. A folder that `save_to_disk` has
    written is one data set with its splits.

    >>> Files(path="inbox", only="month-*").only
    'month-*'
    """

    path: str = Field(description="A file or a folder, inside the project unless it is absolute")
    only: str | None = Field(None, description="When a folder is read: a glob that file names must match")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield one batch per file; rows are read lazily, chunk by chunk.

        Raises:
            SourceError: the path does not exist or cannot be read; from the chunks: a file is empty or damaged.
        """
        paths = self._list_files(root / Path(self.path).expanduser())
        for name, parts in group_splits(paths).items():
            path = parts[0] if len(parts) == 1 else parts[0].parent
            origin = path.relative_to(root) if path.is_relative_to(root) else path
            yield InputBatch(
                name=printable(name),
                origin=readable_path(origin),
                chunks=_read(parts, chunk_rows),
                stamp=stamp_of(_parts(parts)).digest,
                expected_rows=partial(count_rows, parts),
            )

    def check(self, root: Path) -> None:
        """Refuse missing, unreadable and empty files.

        Raises:
            SourceError: the path does not exist, no file can be read, or a file is empty.
        """
        for path in self._list_files(root / Path(self.path).expanduser()):
            refuse_empty(path)

    def nothing_there(self, root: Path) -> str | None:
        """Return that a folder is there and holds no file; None: it holds one, or is none."""
        path = root / Path(self.path).expanduser()
        try:
            if not path.is_dir() or is_saved_dataset(path) or self._visible_files(path):
                return None
        except (OSError, ValueError, NotImplementedError):
            return None  # reading the folder will report what is wrong
        matching = f" matching '{self.only}'" if self.only else ""
        return f"{readable_path(path)} holds no file{matching}"

    def stamp(self, root: Path) -> Stamp | None:
        """Return one digest over names, sizes and times of the files, and the time of the newest."""
        path = root / Path(self.path).expanduser()
        try:
            if is_saved_dataset(path):
                return stamp_of(_parts(saved_splits(path)))
            return stamp_of(self._readable_files(path) if path.is_dir() else [path])
        except (SourceError, OSError, ValueError, NotImplementedError):
            return None  # reading the files will report what is wrong

    def _list_files(self, path: Path) -> list[Path]:
        try:
            if not path.exists():
                raise SourceError(f"{readable_path(path)}: no such file or folder")
            if is_saved_dataset(path):
                return saved_splits(path)
            files = self._list_folder(path) if path.is_dir() else [path]
        except (OSError, ValueError, NotImplementedError) as error:
            raise SourceError(f"{readable_path(path)}: cannot be read: {describe_error(error)}") from None
        if format_of(files[0]) is None:
            raise SourceError(f"{readable_path(path)}: unknown file format; known formats: {', '.join(SUFFIXES)}")
        return files

    def _list_folder(self, folder: Path) -> list[Path]:
        readable = self._readable_files(folder)
        if not readable:
            matching = f" matching '{self.only}'" if self.only else ""
            raise SourceError(
                f"{readable_path(folder)}: no readable file{matching}; known formats: {', '.join(SUFFIXES)}"
            )
        return readable

    def _readable_files(self, folder: Path) -> list[Path]:
        files = self._visible_files(folder)
        readable = [path for path in files if format_of(path) is not None and holds_rows(path)]
        for path in set(files) - set(readable):
            log.info("%s: skipped, not one of %s", readable_path(path), ", ".join(SUFFIXES))
        return readable

    def _visible_files(self, folder: Path) -> list[Path]:
        matches = sorted(folder.glob(self.only or "*"))
        return [path for path in matches if path.is_file() and not path.name.startswith(".")]


def group_splits(paths: list[Path]) -> dict[str, list[Path]]:
    """Return the files of each batch by its name, in order; files that are splits of one another form one batch."""
    batches: dict[str, list[Path]] = {}
    for path in paths:
        stem = _stem(path)
        if len(paths) > 1 and split_of(path) is not None:
            batches.setdefault(stem.rpartition(".")[0] or path.parent.name, []).append(path)
        else:  # a.csv and a.jsonl are two batches: the second keeps its suffix
            batches[stem if stem not in batches else path.name] = [path]
    return batches


def split_of(path: Path) -> str | None:
    """Return train, validation or test if the file's name says so, else None."""
    return SPLIT_NAMES.get(_stem(path).rpartition(".")[2].lower())


def _parts(paths: list[Path]) -> list[Path]:
    """Return the files of a batch; of a data set in a folder, those in it."""
    return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def _stem(path: Path) -> str:
    return path.name.removesuffix(format_of(path) or "")


def _read(parts: list[Path], chunk_rows: int) -> Iterator[pd.DataFrame]:
    for path in parts:
        split = split_of(path) if len(parts) > 1 else None
        for chunk in read_chunks(path, chunk_rows):
            if split is not None:
                chunk[SPLIT] = split
            yield chunk
