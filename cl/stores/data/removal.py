"""Rows leave the files of a project: experiences, quarantine, the log of answers, and what was computed of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cl.records import SPLITS
from cl.stores.data.experiences import AT_ONCE, Experiences, digest_of
from cl.stores.data.publish import list_labels
from cl.stores.data.staging import QUARANTINE, StagedTable
from cl.stores.files import write_text
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder

CACHES = ("features.sqlite", "features.sqlite-wal", "features.sqlite-shm")


def remove_from_experience(project: ProjectFolder, id: str, rows: set[str], scratch: Path) -> None:
    """Give an experience new files without some rows; killed and repeated, it ends in the same state.

    The new folder is whole before the old one moves away, and both moves are renames.

    Args:
        project: where.
        id: the experience.
        rows: ids of its rows.
        scratch: a folder of this machine beside data/; what it holds when this ends is the old content.
    """
    final, fresh, old = project.experiences / id, scratch / "new" / id, scratch / "old" / id
    if not (old.exists() or fresh.exists()) and not _holds(final, rows):
        return
    if not (fresh / "experience.json").exists() and final.exists() and not old.exists():
        _write_without(Experiences(project), id, rows, fresh)
    if fresh.exists() and final.exists() and not old.exists():
        old.parent.mkdir(parents=True, exist_ok=True)
        final.rename(old)
    if fresh.exists() and not final.exists():
        fresh.rename(final)


def quarantined_rows(project: ProjectFolder, id: str, columns: dict[str, str]) -> pd.DataFrame:
    """Return the rows of an experience's quarantine: id, the columns named, and the hash that each is known by.

    Args:
        project: where.
        id: the experience.
        columns: what a column is called here -> in the source.
    """
    rows = Experiences(project).quarantined(id)
    raw = [_mapping(text) for text in rows["row"]]
    named = {ours: [one.get(theirs) for one in raw] for ours, theirs in columns.items() if ours != "id"}
    frame = pd.DataFrame({"id": rows["id"], **named}, dtype=object)
    return frame.assign(experience=id, split="quarantine", hash=[raw_hash(row) for row in rows["row"]])


def remove_from_quarantine(project: ProjectFolder, id: str, rows: set[str]) -> None:
    """Remove rows from an experience's quarantine, and count anew; repeated, it ends in the same state.

    Args:
        project: where.
        id: the experience.
        rows: hashes of the raw rows, as `raw_hash` makes them.
    """
    path, experience = project.quarantine / f"{id}.parquet", Experiences(project).get(id)
    held = pq.read_table(path)
    left = held.filter(pa.array([raw_hash(row) not in rows for row in held["row"].to_pylist()], pa.bool_()))
    draft = path.with_name(f".draft-{path.name}")
    with StagedTable(draft, QUARANTINE) as table:
        table.add(left)
    counts = {one["values"]: one["counts"] for one in left["reason"].value_counts().to_pylist()}
    draft.replace(path)
    changed = experience.model_copy(update={"quarantined": dict(sorted(counts.items()))})
    write_text(project.experiences / id / "experience.json", changed.model_dump_json(indent=1))


def raw_hash(row: str | None) -> str:
    """Return what a raw row in quarantine is known by, as it may have no id."""
    return hashlib.sha256((row or "").encode("utf-8", "surrogatepass")).hexdigest()


def find_answered_rows(project: ProjectFolder) -> pd.DataFrame:
    """Return the id, text or tokens, and date of every logged answer."""
    wanted = ["id", "text", "tokens", "date"]
    parts = [pq.read_table(path) for path in sorted(Predictions(project).folder.glob("*.parquet"))]
    frames = [one.select([name for name in wanted if name in one.column_names]).to_pandas() for one in parts]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=wanted, dtype=object)


def remove_from_answers(project: ProjectFolder, ids: set[str]) -> None:
    """Remove all logged answers to some ids, a file at a time."""
    for path in sorted(Predictions(project).folder.glob("*.parquet")):
        rows = pq.read_table(path)
        gone = pc.is_in(rows["id"], pa.array(sorted(ids), pa.string()))
        if pc.any(gone).as_py():
            draft = path.with_suffix(".draft")
            pq.write_table(rows.filter(pc.invert(gone)), draft)
            draft.replace(path)


def remove_computed(project: ProjectFolder, experiences: list[str]) -> None:
    """Remove what this machine has made of rows: features, hashes, journals, staged rows, reports, local versions."""
    for name in CACHES:
        (project.work / name).unlink(missing_ok=True)
    for id in experiences:
        for path in (project.work / "known").glob(f"{id}-*"):
            path.unlink()
    for folder in ("cycles", "staging", "finished", "versions"):
        shutil.rmtree(project.work / folder, ignore_errors=True)
    for path in project.reports.glob("*.html"):
        path.unlink()


def remove_from_table(path: Path, ids: set[str]) -> bool:
    """Remove rows of some ids from a Parquet file with a column ``id``; return whether there were any."""
    rows = pd.read_parquet(path)
    gone = rows["id"].isin(ids)
    if gone.any():
        rows[~gone].to_parquet(path, index=False)
    return bool(gone.any())


def _holds(folder: Path, rows: set[str]) -> bool:
    wanted = pa.array(sorted(rows), pa.string())
    return any(
        pc.any(pc.is_in(pq.read_table(folder / f"{split}.parquet", columns=["id"])["id"], wanted)).as_py()
        for split in SPLITS
    )


def _write_without(experiences: Experiences, id: str, rows: set[str], fresh: Path) -> None:
    """Write the files of an experience anew; its record, written last, says that they are whole."""
    shutil.rmtree(fresh, ignore_errors=True)
    before, kept = experiences.get(id), {}
    for split in SPLITS:
        with pq.ParquetFile(experiences.project.experiences / id / f"{split}.parquet") as file:
            kept[split] = _copied(file, fresh / f"{split}.parquet", pa.array(sorted(rows), pa.string()))
    after = before.model_copy(
        update={
            "rows": kept,
            "labels": list_labels(fresh),
            "digest": digest_of(fresh),
            "forgotten": before.forgotten + before.total - sum(kept.values()),
        }
    )
    write_text(fresh / "experience.json", after.model_dump_json(indent=1))


def _copied(file: pq.ParquetFile, path: Path, gone: pa.Array) -> int:
    with StagedTable(path, file.schema_arrow) as table:
        for batch in file.iter_batches(AT_ONCE):
            left = batch.filter(pc.invert(pc.is_in(batch["id"], gone)))
            table.add(pa.Table.from_batches([left], file.schema_arrow))
        return table.rows


def _mapping(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
