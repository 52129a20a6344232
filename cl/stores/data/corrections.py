"""Replace rows by corrected ones: a new experience holds these, and the experiences before it lose the old ones.

The plan is written before the corrected rows are published (`.cl/corrections/plan.json`). The next command on this
project finishes what a killed process has begun; if the corrected rows were not published, nothing has happened.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from cl.records import SPLITS, Record
from cl.stores.data.correction_records import Correction, read_corrections, write_correction
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import (
    Fingerprints,
    KnownRows,
    content_columns,
    fingerprints,
    hash_texts,
    pair_hashes,
)
from cl.stores.data.removal import remove_from_experience
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder, mark_pending
from cl.tasks import Schema


class ReplacedRows(Record):
    """The rows that corrected ones replace."""

    ids: dict[str, dict[str, list[str]]] = Field(default_factory=dict, description="Experience -> split -> ids")
    contents: dict[str, str] = Field(default_factory=dict, description="Fingerprint of an id -> that of its content")

    def count(self) -> dict[str, dict[str, int]]:
        """Return experience -> split -> rows."""
        return {id: {split: len(rows) for split, rows in splits.items()} for id, splits in self.ids.items()}


class CorrectionPlan(Record):
    """What to replace; it is stored only on this machine, until it is done."""

    correction: Correction
    replaced: ReplacedRows


def find_replaced(
    project: ProjectFolder, prints: Fingerprints, known: KnownRows, corrections: np.ndarray, schema: Schema
) -> tuple[ReplacedRows, np.ndarray]:
    """Return the earlier rows that new rows replace, and the split of each new row's earlier one; -1: it has none.

    A row replaces the one with its id. If its id is new, it replaces those with its text and another label.

    Args:
        project: the project.
        prints: the new rows.
        known: the rows of all earlier experiences.
        corrections: which new rows are corrections.
        schema: of all rows.
    """
    splits, replaced = np.full(len(prints.ids), -1, dtype=np.int8), ReplacedRows()
    with_known_id = corrections & np.isin(prints.ids, _intersection(prints.ids[corrections], known.ids))
    by_id = {int(prints.ids[index]): [int(index)] for index in np.flatnonzero(with_known_id)}
    by_input: dict[int, list[int]] = {}
    for index in np.flatnonzero(corrections & ~with_known_id):
        by_input.setdefault(int(prints.inputs[index]), []).append(int(index))
    ids, inputs = np.array(sorted(by_id), np.uint64), np.array(sorted(by_input), np.uint64)
    for experience, known_ids, known_inputs in zip(known.experiences, known.ids, known.inputs, strict=True):
        if not (np.isin(ids, known_ids).any() or np.isin(inputs, known_inputs).any()):
            continue
        for number, split in enumerate(SPLITS):
            rows = Experiences(project).rows(experience, split)
            old = fingerprints(rows, schema)
            for row in np.flatnonzero(np.isin(old.ids, ids) | np.isin(old.inputs, inputs)):
                candidates = by_id.get(int(old.ids[row])) or by_input.get(int(old.inputs[row]), [])
                new = [index for index in candidates if prints.contents[index] != old.contents[row]]
                if new:
                    splits[new] = number
                    replaced.ids.setdefault(experience, {}).setdefault(split, []).append(rows["id"].iloc[row])
                    replaced.contents[_hexadecimal(old.ids[row])] = _hexadecimal(old.contents[row])
    return replaced, splits


def begin_correction(project: ProjectFolder, plan: CorrectionPlan) -> None:
    """Write the plan: it will be carried out once its experience is published, by this process or the next."""
    shutil.rmtree(_plan_folder(project), ignore_errors=True)
    write_text(_plan_folder(project) / "plan.json", plan.model_dump_json())


def finish_correction(project: ProjectFolder, schema: Schema) -> Correction | None:
    """Carry out the written plan, resuming where it was left; None: there is none, or it was never begun."""
    file = _plan_folder(project) / "plan.json"
    if not file.exists():
        return None
    plan = CorrectionPlan.model_validate_json(file.read_bytes())
    correction = plan.correction
    done = (project.experiences / correction.experience).exists()
    if done:
        mark_pending(project, correction.experience)
        for id, splits in plan.replaced.ids.items():
            rows = {row for rows in splits.values() for row in rows}
            remove_from_experience(project, id, rows, _plan_folder(project), schema=schema, field="replaced")
        write_correction(project, correction)
    file.unlink()
    shutil.rmtree(_plan_folder(project))
    return correction if done else None


def forget_corrected(project: ProjectFolder, ids: Iterable[str]) -> None:
    """Remove forgotten ids from the records of corrections, which know them as plain hashes."""
    removed = set(map(_hexadecimal, hash_texts(ids)))
    for correction in read_corrections(project):
        if removed.intersection(correction.ids):
            kept = [index for index, id in enumerate(correction.ids) if id not in removed]
            fields = {name: getattr(correction, name) for name in ("ids", "contents")}
            changed = correction.model_copy(
                update={name: [values[index] for index in kept] for name, values in fields.items() if values}
            )
            write_correction(project, changed)


def outdated(project: ProjectFolder, rows: pd.DataFrame, given: Sequence[datetime], schema: Schema) -> np.ndarray:
    """Return which rows say what a later correction has replaced: rows of its ids, or with the content of such rows.

    Args:
        project: the project.
        rows: canonical rows, complete.
        given: when each of them was given its label.
        schema: of the rows.
    """
    last: dict[int, datetime] = {}
    for past in read_corrections(project):
        last.update({int(print, 16): past.corrected_at for print in (*past.ids, *past.contents)})
    contents = hash_texts(content_columns(rows, schema))
    prints = zip(hash_texts(rows["id"]).tolist(), contents.tolist(), given, strict=True)
    return np.array([any(moment <= last[key] for key in keys if key in last) for *keys, moment in prints], dtype=bool)


def replaced_rows(project: ProjectFolder) -> np.ndarray:
    """Return `pair_hashes` of all rows that were replaced, as far as their contents are on record."""
    pairs = [
        (int(id, 16), int(content, 16))
        for past in read_corrections(project)
        for id, content in zip(past.ids, past.contents, strict=False)
    ]
    ids, contents = np.array(pairs, dtype=np.uint64).reshape(-1, 2).T
    return pair_hashes(ids, contents)


def _hexadecimal(fingerprint: np.uint64) -> str:
    return f"{int(fingerprint):016x}"


def _intersection(values: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    empty = np.empty(0, dtype=np.uint64)
    return np.concatenate([empty, *(values[np.isin(values, past)] for past in known)])


def _plan_folder(project: ProjectFolder) -> Path:
    return project.work / "corrections"
