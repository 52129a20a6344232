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
from types import TracebackType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cl.records import SPLITS, Experience
from cl.stores.dvc import mark_pending
from cl.stores.experiences import Experiences
from cl.stores.fingerprints import Fingerprints, joined
from cl.stores.local import Project, place, sha256

DRAFT = ".draft-"
KEPT = 0
WORDS = pa.list_(pa.string())
QUARANTINE = pa.schema([("id", pa.string()), ("reason", pa.string()), ("row", pa.string())])
TYPES = {"tokens": WORDS, "tags": WORDS}


class Table:
    """A Parquet file that grows chunk by chunk; the file appears with the first chunk or at the end."""

    def __init__(self, path: Path, schema: pa.Schema, *, compression: str = "zstd") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.schema = schema
        self.rows = 0
        self._writer = pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        if rows.num_rows:
            self._writer.write_table(rows)
            self.rows += rows.num_rows

    def __enter__(self) -> Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
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

    def good(self) -> Iterator[pa.Table]:
        """Yield the good rows again, in pieces, with their raw form in the column ``row``."""
        return _pieces(self._good)

    def bad(self) -> Iterator[pa.Table]:
        """Yield the broken rows again, in pieces."""
        return _pieces(self._bad)


def sweep(project: Project) -> None:
    """Remove what an interrupted ingest left: drafts, staged rows, and quarantines without their experience."""
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
    project: Project, staged: Staged, fates: np.ndarray, reasons: Mapping[int, str], *, origin: str, counts: dict[str, int]
) -> Experience:
    """Write the rows whose fate is ``KEPT`` as an experience, the others of a reason into quarantine, and return it.

    Args:
        project: where.
        staged: the rows.
        fates: one a good row.
        reasons: what fates mean that lead to quarantine.
        origin: what it was read from.
        counts: further fields of the record: ``duplicates``, ``seen``.
    """
    id = Experiences(project).next_id(staged.name)
    draft = project.experiences / f"{DRAFT}{id}"
    aside = project.quarantine / f"{DRAFT}{id}.parquet"
    written = _write(staged, fates, reasons, draft, aside)
    experience = Experience(
        id=id,
        name=staged.name,
        source=origin,
        ingested_at=datetime.now(UTC),
        rows=written.rows,
        labels=dict(sorted(written.labels.items())),
        quarantined=dict(sorted(written.quarantined.items())),
        digest=_digest(draft),
        **counts,
    )
    (draft / "experience.json").write_text(experience.model_dump_json(indent=1), encoding="utf-8")
    if written.quarantined:
        aside.replace(project.quarantine / f"{id}.parquet")
    else:
        aside.unlink()
    mark_pending(project, id)
    place(draft, project.experiences / id)
    return experience


@dataclass
class _Written:
    rows: dict[str, int]
    labels: Counter[str]
    quarantined: Counter[str]


def _write(staged: Staged, fates: np.ndarray, reasons: Mapping[int, str], draft: Path, aside: Path) -> _Written:
    splits = np.concatenate(staged.splits)
    labels: Counter[str] = Counter()
    quarantined = Counter(staged.reasons)
    tables: dict[str, Table] = {}
    at = 0
    with Table(aside, QUARANTINE) as bad:
        for piece in staged.bad():
            bad.add(piece)
        for piece in staged.good():
            here = slice(at, at + piece.num_rows)
            at += piece.num_rows
            rows = piece.drop_columns("row")
            for number, split in enumerate(SPLITS):
                table = tables.setdefault(split, tables.get(split) or Table(draft / f"{split}.parquet", rows.schema))
                table.add(rows.filter(pa.array((fates[here] == KEPT) & (splits[here] == number))))
            labels.update(_labels(rows.filter(pa.array(fates[here] == KEPT))))
            for fate, reason in reasons.items():
                broken = piece.filter(pa.array(fates[here] == fate))
                bad.add(_set_aside(broken, reason))
                quarantined[reason] += broken.num_rows
    for table in tables.values():
        table.close()
    return _Written({split: tables[split].rows for split in SPLITS}, labels, +quarantined)


def _set_aside(rows: pa.Table, reason: str) -> pa.Table:
    return pa.table([rows["id"], pa.array([reason] * rows.num_rows, pa.string()), rows["row"]], schema=QUARANTINE)


def _labels(rows: pa.Table) -> Counter[str]:
    """Count rows of each label, or rows that hold each entity type."""
    if "label" in rows.column_names:
        return Counter({one["values"]: one["counts"] for one in rows["label"].value_counts().to_pylist()})
    return Counter(kind for tags in rows["tags"].to_pylist() for kind in {tag[2:] for tag in tags if tag != "O"})


def _digest(folder: Path) -> str:
    files = "".join(f"{split} {sha256(folder / f'{split}.parquet')}\n" for split in SPLITS)
    return hashlib.sha256(files.encode()).hexdigest()


def _pieces(table: Table | None) -> Iterator[pa.Table]:
    if table is None:
        return
    with pq.ParquetFile(table.path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)
