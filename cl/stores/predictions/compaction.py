"""Compact write-ahead logs to Parquet once their writers are compacted, and delete files past their retention time."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cl.stores.predictions.write_ahead_log import DRAFT, Entry, abandoned_file, read_entries, sync_folder
from cl.stores.project_folder import ProjectFolder

log = logging.getLogger(__name__)
BATCH_SIZE, BATCHES_PER_GROUP = 500, 60
"""Entries converted to columns at a time, which blocks the server's other threads; and such batches per row group."""
DAY = 86_400


@dataclass(frozen=True)
class LogKind:
    """One kind of log entries: the folder of their Parquet files inside predictions/, and its columns."""

    ending: str
    folder: str
    schema: pa.Schema

    def sealed(self, project: ProjectFolder) -> list[Path]:
        """Return the Parquet files, oldest first, including those that `cl predict` wrote."""
        return sorted((project.root / "predictions" / self.folder).glob("*.parquet"))

    def open(self, project: ProjectFolder) -> list[Path]:
        """Return the files that are being written or wait for compaction, oldest first."""
        return sorted(open_folder(project).glob(f"*{self.ending}"))


PREDICTIONS = LogKind(
    ending=".predictions",
    folder="",
    schema=pa.schema(
        {
            "id": pa.string(),
            "text": pa.string(),
            "tokens": pa.list_(pa.string()),
            "date": pa.string(),
            "prediction": pa.string(),
            "confidence": pa.float64(),
            "version": pa.string(),
            "recorded_at": pa.string(),
            "role": pa.string(),
            "out_of_scope": pa.bool_(),
            "latency_ms": pa.float64(),
            "key": pa.string(),
            "inputs": pa.string(),
            "tagger": pa.string(),
        }
    ),
)
FEEDBACK = LogKind(
    ending=".feedback",
    folder="feedback",
    schema=pa.schema(
        {
            "id": pa.string(),
            "label": pa.string(),
            "tags": pa.list_(pa.string()),
            "recorded_at": pa.string(),
            "answer": pa.string(),
        }
    ),
)


def open_folder(project: ProjectFolder) -> Path:
    """Return the folder of the write-ahead logs."""
    return project.root / "predictions" / "open"


def compact(project: ProjectFolder) -> int:
    """Convert every log whose writer has closed it or died to Parquet; return how many there were.

    After a kill between two steps, the next call writes the same Parquet file again, so no entry is duplicated.
    """
    compacted = 0
    for kind in (FEEDBACK, PREDICTIONS):
        for path in kind.open(project):
            with abandoned_file(path) as abandoned:
                if abandoned:
                    _to_parquet(path, kind, project)
                    compacted += 1
    for path in open_folder(project).glob(f"*{DRAFT}"):
        with abandoned_file(path) as abandoned:
            if abandoned:
                path.unlink()
    return compacted


def delete_expired(project: ProjectFolder, *, days: float) -> int:
    """Delete Parquet files whose newest entry is older than ``days``; return how many there were.

    Files that `cl predict --from` wrote hold no traffic and are kept.
    """
    served = (path for path in PREDICTIONS.sealed(project) if "role" in pq.read_schema(path).names)
    old = [path for path in (*FEEDBACK.sealed(project), *served) if path.stat().st_mtime < time.time() - days * DAY]
    for path in old:
        path.unlink(missing_ok=True)
    if old:
        log.info("deleted %d log files older than %g days", len(old), days)
    return len(old)


def _to_parquet(path: Path, kind: LogKind, project: ProjectFolder) -> None:
    folder = project.root / "predictions" / kind.folder
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{path.stem}.parquet"
    draft = final.with_suffix(".draft")
    rows = 0
    with pq.ParquetWriter(draft, kind.schema, write_page_checksum=True) as writer:
        entries = read_entries(path)
        while group := list(itertools.islice(_batches(entries, kind.schema), BATCHES_PER_GROUP)):
            rows += sum(len(batch) for batch in group)
            writer.write_table(pa.Table.from_batches(group))
    if rows:
        newest = path.stat().st_mtime
        os.utime(draft, (newest, newest))  # its age counts from the last request, not from compaction
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(final)
        sync_folder(folder)
    else:
        draft.unlink()
    path.unlink()


def _batches(entries: Iterator[Entry], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while chunk := list(itertools.islice(entries, BATCH_SIZE)):
        yield pa.RecordBatch.from_pylist(chunk, schema=schema)
