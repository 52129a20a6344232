"""Experiences in the making: staged on this machine, written whole, and made visible by one rename."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cl.records import SPLITS, Experience
from cl.stores.dvc import mark_pending
from cl.stores.experiences import Experiences
from cl.stores.fingerprints import Fingerprints, joined
from cl.stores.local import Project, place, sha256, write_text

DRAFT = ".draft-"
KEPT = 0
WORDS = pa.list_(pa.string())
QUARANTINE = pa.schema([("id", pa.string()), ("reason", pa.string()), ("row", pa.string())])
TYPES = {"tokens": WORDS, "tags": WORDS}


class Table:
    """A Parquet file that grows chunk by chunk, one row group each."""

    def __init__(self, path: Path, schema: pa.Schema, *, compression: str = "zstd") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.schema = schema
        self.rows = 0
        self._writer = pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        if rows.num_rows:
            self._writer.write_table(rows, row_group_size=rows.num_rows)
            self.rows += rows.num_rows

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file and see it onto the disk."""
        self._writer.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


@dataclass
class Staged:
    """The checked rows of one coming experience: rows on disk, hashes and splits in memory."""

    name: str
    folder: Path
    prints: list[Fingerprints] = field(default_factory=list)
    splits: list[np.ndarray] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    _good: Table | None = None
    _bad: Table | None = None

    def add(self, rows: pd.DataFrame, raw: list[str], prints: Fingerprints, splits: np.ndarray) -> None:
        """Append good rows, each with its raw form in case it is set aside later."""
        columns = {name: pa.array(rows[name].tolist(), TYPES.get(name, pa.string())) for name in rows.columns}
        table = pa.table({**columns, "row": pa.array(raw, pa.string())})
        self._good = self._good or Table(self.folder / "good.parquet", table.schema, compression="lz4")
        self._good.add(table)
        self.prints.append(prints)
        self.splits.append(splits)

    def set_aside(self, bad: pd.DataFrame) -> None:
        """Append broken rows: id, reason, row."""
        if bad.empty:
            return
        self._bad = self._bad or Table(self.folder / "bad.parquet", QUARANTINE, compression="lz4")
        self._bad.add(pa.Table.from_pandas(bad, QUARANTINE, preserve_index=False))
        self.reasons.update(bad["reason"])

    def close(self) -> None:
        """Finish the files."""
        for table in (self._good, self._bad):
            if table is not None:
                table.close()

    @property
    def good_rows(self) -> int:
        """Rows that were not broken by themselves."""
        return self._good.rows if self._good else 0

    def fingerprints(self) -> Fingerprints:
        """Return the hashes of all good rows."""
        return joined(self.prints)

    def places(self) -> Iterator[slice]:
        """Yield where the rows of each piece of `good` stand among all good rows."""
        start = 0
        for splits in self.splits:
            yield slice(start, start + len(splits))
            start += len(splits)

    def good(self) -> Iterator[pa.Table]:
        """Yield the good rows again, in pieces, with their raw form in the column ``row``."""
        return _pieces(self._good)

    def bad(self) -> Iterator[pa.Table]:
        """Yield the broken rows again, in pieces."""
        return _pieces(self._bad)


def sweep(project: Project) -> None:
    """Remove what an interrupted ingest left: drafts, staged rows, quarantines without an experience."""
    shutil.rmtree(staging(project), ignore_errors=True)
    for draft in [*project.experiences.glob(f"{DRAFT}*"), *project.quarantine.glob(f"{DRAFT}*")]:
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
    for path in project.quarantine.glob("*.parquet"):
        if not (project.experiences / path.stem).exists():
            path.unlink()


def staging(project: Project) -> Path:
    """Return the folder for rows whose experience is not written yet."""
    return project.work / "staging"


def publish(
    project: Project,
    staged: Staged,
    fates: np.ndarray,
    reasons: Mapping[int, str],
    *,
    origin: str,
    counts: dict[str, int],
) -> Experience:
    """Write rows as an experience, the broken ones into quarantine, make both visible, and return it.

    Args:
        project: where.
        staged: the rows.
        fates: one a good row; those that are ``KEPT`` make the experience.
        reasons: the fates that lead to quarantine, and what to call them there.
        origin: what it was read from.
        counts: further fields of the record: ``duplicates``, ``seen``.
    """
    id = Experiences(project).next_id(staged.name)
    draft = project.experiences / f"{DRAFT}{id}"
    aside = project.quarantine / f"{DRAFT}{id}.parquet"
    rows = _write_splits(staged, fates, draft)
    quarantined = staged.reasons + _write_quarantine(staged, fates, reasons, aside)
    experience = Experience(
        id=id,
        name=staged.name,
        source=origin,
        ingested_at=datetime.now(UTC),
        rows=rows,
        labels=_labels(draft),
        quarantined=dict(sorted(quarantined.items())),
        digest=digest_of(draft),
        **counts,
    )
    write_text(draft / "experience.json", experience.model_dump_json(indent=1))
    mark_pending(project, id)
    if quarantined:
        aside.replace(project.quarantine / f"{id}.parquet")
    place(draft, project.experiences / id)
    return experience


def _write_splits(staged: Staged, fates: np.ndarray, draft: Path) -> dict[str, int]:
    """Write the kept rows of each split into its file and return how many there are."""
    numbers = np.where(fates == KEPT, np.concatenate(staged.splits), -1)
    tables: list[Table] = []
    for piece, here in zip(staged.good(), staged.places(), strict=True):
        rows = piece.drop_columns("row")
        tables = tables or [Table(draft / f"{split}.parquet", rows.schema) for split in SPLITS]
        for number, table in enumerate(tables):
            table.add(rows.filter(pa.array(numbers[here] == number)))
    for table in tables:
        table.close()
    return {split: table.rows for split, table in zip(SPLITS, tables, strict=True)}


def _write_quarantine(staged: Staged, fates: np.ndarray, reasons: Mapping[int, str], path: Path) -> Counter[str]:
    """Write all broken rows into one file and return how many were found by comparison, by reason."""
    found: Counter[str] = Counter()
    with Table(path, QUARANTINE) as table:
        for piece in staged.bad():
            table.add(piece)
        for piece, here in zip(staged.good(), staged.places(), strict=True):
            for fate, reason in reasons.items():
                rows = piece.filter(pa.array(fates[here] == fate))
                found[reason] += rows.num_rows
                told = pa.array([reason] * rows.num_rows, pa.string())
                table.add(pa.table([rows["id"], told, rows["row"]], schema=QUARANTINE))
    return +found


def _labels(draft: Path) -> dict[str, int]:
    """Count the rows of each label, or the rows that hold each entity type."""
    count: Counter[str] = Counter()
    for split in SPLITS:
        with pq.ParquetFile(draft / f"{split}.parquet") as file:
            answer = "label" if "label" in file.schema_arrow.names else "tags"
            for batch in file.iter_batches(columns=[answer]):
                if answer == "label":
                    count.update({one["values"]: one["counts"] for one in batch["label"].value_counts().to_pylist()})
                else:
                    count.update(kind for tags in batch["tags"].to_pylist() for kind in _entity_types(tags))
    return dict(sorted(count.items()))


def _entity_types(tags: list[str]) -> set[str]:
    return {tag[2:] for tag in tags if tag != "O"}


def digest_of(folder: Path) -> str:
    """Return the digest of an experience's rows as they lie in its folder."""
    files = "".join(f"{split} {sha256(folder / f'{split}.parquet')}\n" for split in SPLITS)
    return hashlib.sha256(files.encode()).hexdigest()


def _pieces(table: Table | None) -> Iterator[pa.Table]:
    if table is None:
        return
    with pq.ParquetFile(table.path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)
