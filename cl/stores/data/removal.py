"""Remove rows from a project's files: experiences, quarantine, the prediction log, and everything derived from them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cl.records import SPLITS
from cl.stores.data.experiences import Experiences
from cl.stores.data.rewrite import is_begun, rewrite_experience
from cl.stores.data.staging import QUARANTINE, StagedTable
from cl.stores.files import write_text
from cl.stores.predictions.logged_values import INPUTS, from_log
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Schema

BASELINE_FEATURES = "baselines.safetensors"
"""The file below .cl with the features that baselines are fitted on."""
CACHES = ("features.sqlite", "features.sqlite-wal", "features.sqlite-shm", "tokens", BASELINE_FEATURES)


def remove_from_experience(
    project: ProjectFolder,
    id: str,
    rows: set[str],
    scratch: Path,
    *,
    schema: Schema,
    field: Literal["forgotten", "replaced"],
) -> None:
    """Rewrite an experience without the given rows; after a kill, a repeated call ends in the same state.

    Args:
        project: the project.
        id: the experience.
        rows: the ids of the rows.
        scratch: as for `rewrite_experience`.
        schema: of its rows.
        field: of the experience's record, which counts the removed rows.
    """
    if not is_begun(id, scratch) and not _contains_any(project.experiences / id, rows):
        return
    removed = pa.array(sorted(rows), pa.string())

    def without(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.invert(pc.is_in(batch["id"], removed)))

    rewrite_experience(project, id, without, scratch, schema=schema, removed=field)


def quarantined_rows(project: ProjectFolder, id: str, columns: dict[str, str]) -> pd.DataFrame:
    """Return the quarantined rows of an experience: id, the given columns, and the hash that identifies each row.

    Args:
        project: the project.
        id: the experience.
        columns: our column name -> the source's.
    """
    rows = Experiences(project).quarantined(id)
    raw = [_parse_mapping(text) for text in rows["row"]]
    named = {ours: [row.get(theirs) for row in raw] for ours, theirs in columns.items() if ours != "id"}
    frame = pd.DataFrame({"id": rows["id"], **named}, dtype=object)
    return frame.assign(experience=id, split="quarantine", hash=[hash_raw_row(row) for row in rows["row"]])


def remove_from_quarantine(project: ProjectFolder, id: str, rows: set[str]) -> None:
    """Remove rows from an experience's quarantine and update its counts; a repeated call ends in the same state.

    Args:
        project: the project.
        id: the experience.
        rows: the hashes of the raw rows (`hash_raw_row`).
    """
    path, experience = project.quarantine / f"{id}.parquet", Experiences(project).get(id)
    quarantined = pq.read_table(path)
    kept = quarantined.filter(
        pa.array([hash_raw_row(row) not in rows for row in quarantined["row"].to_pylist()], pa.bool_())
    )
    draft = path.with_name(f".draft-{path.name}")
    with StagedTable(draft, QUARANTINE) as table:
        table.add(kept)
    counts = {entry["values"]: entry["counts"] for entry in kept["reason"].value_counts().to_pylist()}
    draft.replace(path)
    changed = experience.model_copy(update={"quarantined": dict(sorted(counts.items()))})
    write_text(project.experiences / id / "experience.json", changed.model_dump_json(indent=1))


def hash_raw_row(row: str | None) -> str:
    """Return the hash that identifies a raw row in quarantine, which may have no id."""
    return hashlib.sha256((row or "").encode("utf-8", "surrogatepass")).hexdigest()


def logged_rows(project: ProjectFolder, schema: Schema) -> pd.DataFrame:
    """Return the id, the inputs, and the date of every logged prediction."""
    wanted = ["id", *INPUTS, "date"]
    parts = [pq.read_table(path) for path in sorted(Predictions(project).folder.glob("*.parquet"))]
    frames = [part.select([name for name in wanted if name in part.column_names]).to_pandas() for part in parts]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=wanted, dtype=object)
    return from_log(rows, schema)


def remove_from_log(project: ProjectFolder, ids: set[str]) -> None:
    """Remove the logged predictions with the given ids, one file at a time."""
    for path in sorted(Predictions(project).folder.glob("*.parquet")):
        rows = pq.read_table(path)
        removed = pc.is_in(rows["id"], pa.array(sorted(ids), pa.string()))
        if pc.any(removed).as_py():
            draft = path.with_suffix(".draft")
            pq.write_table(rows.filter(pc.invert(removed)), draft)
            draft.replace(path)


def remove_derived(project: ProjectFolder, experiences: list[str]) -> None:
    """Remove everything on this machine derived from rows: features, hashes, journals, reports, local versions."""
    for name in CACHES:
        path = project.work / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for id in experiences:
        for path in (project.work / "known").glob(f"{id}-*"):
            path.unlink()
    for folder in ("cycles", "staging", "finished", "versions"):
        shutil.rmtree(project.work / folder, ignore_errors=True)
    for path in project.reports.glob("*.html"):
        path.unlink()


def remove_from_table(path: Path, ids: set[str]) -> bool:
    """Remove the rows with the given ids from a Parquet file; return whether there were any."""
    rows = pd.read_parquet(path)
    removed = rows["id"].isin(ids)
    if removed.any():
        rows[~removed].to_parquet(path, index=False)
    return bool(removed.any())


def _contains_any(folder: Path, rows: set[str]) -> bool:
    wanted = pa.array(sorted(rows), pa.string())
    return any(
        pc.any(pc.is_in(pq.read_table(folder / f"{split}.parquet", columns=["id"])["id"], wanted)).as_py()
        for split in SPLITS
    )


def _parse_mapping(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
