"""Rewrite a published experience: the new one is complete before two renames put it in place of the old one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from cl.records import SPLITS
from cl.stores.data.experiences import BATCH_ROWS, Experiences, digest_of
from cl.stores.data.publish import list_annotated, list_labels, list_untrained
from cl.stores.data.staging import StagedTable
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Schema

Rewrite = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Returns rows as they shall be, in the same columns; rows may be left out."""


def rewrite_experience(
    project: ProjectFolder,
    id: str,
    rewrite: Rewrite,
    scratch: Path,
    *,
    schema: Schema,
    removed: Literal["forgotten", "replaced", "retired"],
) -> None:
    """Rewrite an experience; after a kill, a repeated call with the same scratch folder ends in the same state.

    The new folder is complete before the old one is moved away, and both moves are renames.

    Args:
        project: the project.
        id: the experience.
        rewrite: what becomes of its rows.
        scratch: a local folder on the file system of data/; at the end it holds the old content.
        schema: of its rows.
        removed: the field of the experience's record that counts the rows that were left out.
    """
    final, fresh, old = project.experiences / id, scratch / "new" / id, scratch / "old" / id
    if not (fresh / "experience.json").exists() and final.exists() and not old.exists():
        _write_changed(Experiences(project), id, rewrite, fresh, schema=schema, removed=removed)
    if fresh.exists() and final.exists() and not old.exists():
        old.parent.mkdir(parents=True, exist_ok=True)
        final.rename(old)
    if fresh.exists() and not final.exists():
        fresh.rename(final)


def is_begun(id: str, scratch: Path) -> bool:
    """Return whether an experience was rewritten with this scratch folder, as a whole or in part."""
    return (scratch / "old" / id).exists() or (scratch / "new" / id).exists()


def _write_changed(
    experiences: Experiences, id: str, rewrite: Rewrite, fresh: Path, *, schema: Schema, removed: str
) -> None:
    """Write the changed experience; its record is written last and marks the files as complete."""
    shutil.rmtree(fresh, ignore_errors=True)
    before, kept = experiences.get(id), {}
    for split in SPLITS:
        with pq.ParquetFile(experiences.project.experiences / id / f"{split}.parquet") as file:
            kept[split] = _write_split(file, fresh / f"{split}.parquet", rewrite)
    after = before.model_copy(
        update={
            "rows": kept,
            "labels": list_labels(fresh, schema),
            "untrained": list_untrained(fresh, schema),
            "annotated": list_annotated(fresh),
            "digest": digest_of(fresh),
            removed: getattr(before, removed) + before.total - sum(kept.values()),
        }
    )
    write_text(fresh / "experience.json", after.model_dump_json(indent=1))


def _write_split(file: pq.ParquetFile, path: Path, rewrite: Rewrite) -> int:
    with StagedTable(path, file.schema_arrow) as table:
        for batch in file.iter_batches(BATCH_ROWS):
            table.add(pa.Table.from_batches([rewrite(batch)], file.schema_arrow))
        return table.rows
