"""Staged rows become an experience: written whole, and made visible by one rename."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cl.records import SPLITS, Experience
from cl.stores.data.experiences import Experiences, digest_of
from cl.stores.data.staging import KEPT, QUARANTINE, Staged, StagedTable, staging_folder
from cl.stores.files import move_into_place, write_text
from cl.stores.project_folder import ProjectFolder, mark_pending

DRAFT = ".draft-"


def remove_drafts(project: ProjectFolder) -> None:
    """Remove what an interrupted ingest left: drafts, staged rows, quarantines without an experience."""
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
        labels=list_labels(draft),
        quarantined=dict(sorted(quarantined.items())),
        digest=digest_of(draft),
        **counts,
    )
    write_text(draft / "experience.json", experience.model_dump_json(indent=1))
    mark_pending(project, id)
    if quarantined:
        aside.replace(project.quarantine / f"{id}.parquet")
    move_into_place(draft, project.experiences / id)
    return experience


def _write_splits(staged: Staged, fates: np.ndarray, draft: Path) -> dict[str, int]:
    """Write the kept rows of each split into its file and return how many there are."""
    numbers = np.where(fates == KEPT, np.concatenate(staged.splits), -1)
    tables: list[StagedTable] = []
    for piece, here in zip(staged.good(), staged.places(), strict=True):
        rows = piece.drop_columns("row")
        tables = tables or [StagedTable(draft / f"{split}.parquet", rows.schema) for split in SPLITS]
        for number, table in enumerate(tables):
            table.add(rows.filter(pa.array(numbers[here] == number)))
    for table in tables:
        table.close()
    return {split: table.rows for split, table in zip(SPLITS, tables, strict=True)}


def _write_quarantine(staged: Staged, fates: np.ndarray, reasons: Mapping[int, str], path: Path) -> Counter[str]:
    """Write all broken rows into one file and return how many were found by comparison, by reason."""
    found: Counter[str] = Counter()
    with StagedTable(path, QUARANTINE) as table:
        for piece in staged.bad():
            table.add(piece)
        for piece, here in zip(staged.good(), staged.places(), strict=True):
            for fate, reason in reasons.items():
                rows = piece.filter(pa.array(fates[here] == fate))
                found[reason] += rows.num_rows
                told = pa.array([reason] * rows.num_rows, pa.string())
                table.add(pa.table([rows["id"], told, rows["row"]], schema=QUARANTINE))
    return +found


def list_labels(draft: Path) -> dict[str, int]:
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
