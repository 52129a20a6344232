"""Publish staged rows as an experience: written completely, then made visible with one rename."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cl.records import ANNOTATED, SPLITS, WEIGHT, Experience
from cl.stores.data.experiences import Experiences, digest_of
from cl.stores.data.staging import KEPT, QUARANTINE, Staged, StagedTable, staging_folder
from cl.stores.files import move_into_place, write_text
from cl.stores.project_folder import ProjectFolder, mark_pending
from cl.tasks import Schema, ValueKind, names_in

DRAFT = ".draft-"


def remove_drafts(project: ProjectFolder) -> None:
    """Remove what an interrupted ingest left behind: drafts, staged rows, quarantine files without an experience."""
    shutil.rmtree(staging_folder(project), ignore_errors=True)
    for draft in [*project.experiences.glob(f"{DRAFT}*"), *project.quarantine.glob(f"{DRAFT}*")]:
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
    for path in project.quarantine.glob("*.parquet"):
        if not (project.experiences / path.stem).exists():
            path.unlink()


def publish(
    project: ProjectFolder,
    staged: Staged,
    fates: np.ndarray,
    reasons: Mapping[int, str],
    *,
    origin: str,
    counts: dict[str, int],
) -> Experience:
    """Write rows to an experience and invalid ones to quarantine, make both visible, and return the experience.

    Args:
        project: the project.
        staged: the rows.
        fates: one outcome per good row; rows that are ``KEPT`` make up the experience.
        reasons: outcome -> reason, for the outcomes that lead to quarantine.
        origin: the source of the rows.
        counts: further fields of the record: ``duplicates``, ``seen``.
    """
    id = Experiences(project).next_id(staged.name)
    draft = project.experiences / f"{DRAFT}{id}"
    quarantine = project.quarantine / f"{DRAFT}{id}.parquet"
    rows = _write_splits(staged, fates, draft)
    quarantined = staged.reasons + _write_quarantine(staged, fates, reasons, quarantine)
    experience = Experience(
        id=id,
        name=staged.name,
        source=origin,
        ingested_at=datetime.now(UTC),
        rows=rows,
        labels=list_labels(draft, staged.schema),
        untrained=list_untrained(draft, staged.schema),
        annotated=list_annotated(draft),
        quarantined=dict(sorted(quarantined.items())),
        digest=digest_of(draft),
        **counts,
    )
    write_text(draft / "experience.json", experience.model_dump_json(indent=1))
    mark_pending(project, id)
    if quarantined:
        quarantine.replace(project.quarantine / f"{id}.parquet")
    move_into_place(draft, project.experiences / id)
    return experience


def _write_splits(staged: Staged, fates: np.ndarray, draft: Path) -> dict[str, int]:
    """Write the kept rows of each split to its file and return split -> rows."""
    split_numbers = np.where(fates == KEPT, np.concatenate(staged.splits), -1)
    tables: list[StagedTable] = []
    for chunk, positions in zip(staged.good(), staged.places(), strict=True):
        rows = chunk.drop_columns("row")
        tables = tables or [StagedTable(draft / f"{split}.parquet", rows.schema) for split in SPLITS]
        for number, table in enumerate(tables):
            table.add(rows.filter(pa.array(split_numbers[positions] == number)))
    for table in tables:
        table.close()
    return {split: table.rows for split, table in zip(SPLITS, tables, strict=True)}


def _write_quarantine(staged: Staged, fates: np.ndarray, reasons: Mapping[int, str], path: Path) -> Counter[str]:
    """Write all invalid rows to one file and return reason -> rows that were rejected by their outcome."""
    rejected: Counter[str] = Counter()
    with StagedTable(path, QUARANTINE) as table:
        for chunk in staged.bad():
            table.add(chunk)
        for chunk, positions in zip(staged.good(), staged.places(), strict=True):
            for fate, reason in reasons.items():
                rows = chunk.filter(pa.array(fates[positions] == fate))
                rejected[reason] += rows.num_rows
                reason_column = pa.array([reason] * rows.num_rows, pa.string())
                table.add(pa.table([rows["id"], reason_column, rows["row"]], schema=QUARANTINE))
    return +rejected


def list_labels(draft: Path, schema: Schema) -> dict[str, int]:
    """Return label -> rows, or entity type -> rows that contain it; empty where answers name no classes."""
    return dict(sorted(sum((_count_labels(draft, split, schema) for split in SPLITS), Counter[str]()).items()))


def list_untrained(draft: Path, schema: Schema) -> list[str]:
    """Return the labels, or entity types, that no training row of a weight above 0 has."""
    return sorted(set(list_labels(draft, schema)) - set(_count_labels(draft, "train", schema, learned=True)))


def list_annotated(draft: Path) -> list[str] | None:
    """Return the entity types that the rows of an experience are annotated for; None: all, or it has no rows."""
    for split in SPLITS:
        with pq.ParquetFile(draft / f"{split}.parquet") as file:
            if ANNOTATED in file.schema_arrow.names:
                for batch in file.iter_batches(1, columns=[ANNOTATED]):
                    types: list[str] | None = batch[ANNOTATED][0].as_py()
                    return types
    return None


def _count_labels(draft: Path, split: str, schema: Schema, *, learned: bool = False) -> Counter[str]:
    """Return label -> rows of a split; ``learned``: only of rows with a weight above 0."""
    count: Counter[str] = Counter()
    column, kind = schema.answer.name, schema.answer.kind
    if not kind.names_classes:
        return count
    with pq.ParquetFile(draft / f"{split}.parquet") as file:
        weighted = learned and WEIGHT in file.schema_arrow.names
        for batch in file.iter_batches(columns=[column, WEIGHT] if weighted else [column]):
            if weighted:
                batch = batch.filter(pc.greater(batch[WEIGHT], 0))
            if kind is ValueKind.LABEL:
                count.update({item["values"]: item["counts"] for item in batch[column].value_counts().to_pylist()})
            else:
                count.update(name for answer in batch[column].to_pylist() for name in names_in(kind, answer))
    return count
