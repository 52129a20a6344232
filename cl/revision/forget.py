"""Forget rows: remove them from the data, from the champion's stored rows, and from the model or its next update.

The plan is written first (`.cl/revision/plan.json`); every step may be repeated, and the next command on this project
finishes what a killed process has begun.
"""

from __future__ import annotations

import json
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from pydantic import Field

from cl import plugins
from cl.config import Config
from cl.config.row_filter import select_rows
from cl.errors import InputError
from cl.process.progress import stage
from cl.records import SPLITS, Record, Unlearning
from cl.revision.change_labels import finish_change
from cl.stores.data.corrections import finish_correction, forget_corrected
from cl.stores.data.fingerprints import hash_texts
from cl.stores.data.removal import (
    logged_rows,
    quarantined_rows,
    remove_derived,
    remove_from_experience,
    remove_from_log,
    remove_from_quarantine,
)
from cl.stores.data.tombstones import RemovalRecord, read_removals, salt_ids, write_removal
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder, mark_pending
from cl.stores.stores import Stores
from cl.tasks import Schema, Task


class RemovalPlan(Record):
    """What to remove; it is stored only on this machine, until it is done."""

    removal: RemovalRecord
    rows: dict[str, dict[str, list[str]]] = Field(description="Experience -> split -> ids")
    quarantine: dict[str, list[str]] = Field(description="Experience -> hashes of raw rows")
    answers: list[str] = Field(description="Ids in the log of answers")
    data_before: str
    everywhere: bool = Field(description="Also from the DVC remote and from older versions' files")

    @property
    def ids(self) -> set[str]:
        """The ids of all rows in experiences."""
        return {id for splits in self.rows.values() for ids in splits.values() for id in ids}


class Forgotten(Unlearning):
    """The result of a removal."""

    removal: RemovalRecord
    data_version: str


def plan_removal(config: Config, stores: Stores, condition: str, *, by: str, why: str, everywhere: bool) -> RemovalPlan:
    """Return what a condition would remove; nothing is changed.

    Raises:
        InputError: the condition is invalid, or matches no row.
    """
    project, named = stores.project, set[str]()
    rows: dict[str, dict[str, list[str]]] = {}
    quarantine: dict[str, list[str]] = {}
    for experience in stores.experiences.all():
        matching = {split: _matching_ids(stores, experience.id, split, condition) for split in SPLITS}
        rows |= (
            {experience.id: {split: ids for split, ids in matching.items() if ids}} if any(matching.values()) else {}
        )
        if experience.quarantined:
            held = quarantined_rows(project, experience.id, _source_columns(config))
            picked = held[select_rows(condition, held.drop(columns="hash"))]
            quarantine |= {experience.id: picked["hash"].tolist()} if len(picked) else {}
            named |= set(picked["id"].dropna())
    answered = _with_row_columns(logged_rows(project, plugins.build(Task, config.task).schema), config)
    ids = sorted({id for splits in rows.values() for matching in splits.values() for id in matching})
    answers = answered[select_rows(condition, answered) | answered["id"].isin(ids).to_numpy()]["id"].tolist()
    if not rows and not quarantine and not answers:
        raise InputError(f"no row of '{config.name}' matches {condition!r}; nothing was removed")
    past = read_removals(project)
    salt = past[0].salt if past else secrets.token_hex(16)
    removal = RemovalRecord(
        number=len(past) + 1,
        forgotten_at=datetime.now(UTC),
        by=by,
        why=why,
        rows={id: {split: len(matching) for split, matching in splits.items()} for id, splits in rows.items()},
        quarantined=sum(map(len, quarantine.values())),
        answers=len(answers),
        salt=salt,
        ids=sorted(salt_ids(hash_texts(sorted({*ids, *answers, *named})), salt)),
    )
    return RemovalPlan(
        removal=removal,
        rows=rows,
        quarantine=quarantine,
        answers=sorted(set(answers)),
        data_before=stores.data.commit(),
        everywhere=everywhere,
    )


def begin_removal(project: ProjectFolder, wanted: RemovalPlan) -> None:
    """Write the plan: from here on it will be carried out, by this process or the next."""
    shutil.rmtree(_plan_folder(project), ignore_errors=True)
    write_text(_plan_file(project), wanted.model_dump_json())


def finish_removal(config: Config, stores: Stores) -> Forgotten | None:
    """Carry out the written plan, resuming where it was left; None: there is no plan.

    Corrections and changes of labels that a killed process has begun are finished, too.

    Raises:
        StoreError: a store is unreachable; run it again.
    """
    project = stores.project
    schema = plugins.build(Task, config.task).schema
    finish_correction(project, schema)
    finish_change(config, stores)
    if not _plan_file(project).exists():
        return None
    wanted = RemovalPlan.model_validate_json(_plan_file(project).read_bytes())
    with stage("load libraries"):
        from cl.revision.unlearn import RemovalRequest, unlearn

    with stage("remove rows from the data"):
        version = _remove_from_data(stores, wanted, schema)
        remove_from_log(project, {*wanted.answers, *wanted.ids})
    leaving = RemovalRequest(wanted.rows, wanted.removal, version)
    done = unlearn(config, stores, leaving, scratch=_plan_folder(project), everywhere=wanted.everywhere)
    remove_derived(project, list(wanted.rows))
    for path in _plan_folder(project).iterdir():  # the plan goes last: while it exists, all this is repeated
        if path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree(_plan_folder(project))
    return Forgotten(removal=wanted.removal, data_version=version, **done.model_dump())


def _remove_from_data(stores: Stores, wanted: RemovalPlan, schema: Schema) -> str:
    """Remove the rows from data/, commit a new data version, and erase the objects that still contain them."""
    project, scratch = stores.project, _plan_folder(stores.project)
    removed = [record.number for record in read_removals(project)]
    if wanted.removal.number not in removed or not stores.data.is_clean():
        mark_pending(project, f"without the rows of removal {wanted.removal.number}")
        for id, splits in wanted.rows.items():
            rows = {row_id for ids in splits.values() for row_id in ids}
            remove_from_experience(project, id, rows, scratch, schema=schema, field="forgotten")
        for id, hashed in wanted.quarantine.items():
            remove_from_quarantine(project, id, set(hashed))
        forget_corrected(project, [*wanted.ids, *wanted.answers])
        write_removal(project, wanted.removal)
    version = stores.data.commit()
    listed = scratch / "objects.json"  # saved, because the listing that names them is erased as well
    if not listed.exists():
        write_text(listed, json.dumps(stores.data.replaced(wanted.data_before, version)))
    stores.data.erase(json.loads(listed.read_text(encoding="utf-8")), remote=wanted.everywhere)
    return version


def _matching_ids(stores: Stores, id: str, split: str, condition: str) -> list[str]:
    rows = stores.experiences.rows(id, split).assign(experience=id, split=split)
    result: list[str] = rows[select_rows(condition, rows)]["id"].tolist()
    return result


def _source_columns(config: Config) -> dict[str, str]:
    """Return column -> its name in the source, empty if the source does not have it."""
    names = plugins.build(Task, config.task).schema.names
    return {**{name: config.data.name_of(name) for name in names}, "date": config.data.date or ""}


def _with_row_columns(rows: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return logged answers with all columns of rows, None where an answer has no value."""
    names = ["id", *_source_columns(config), "experience", "split"]
    return rows.reindex(columns=names).astype(object).where(lambda frame: frame.notna(), None)


def _plan_folder(project: ProjectFolder) -> Path:
    return project.work / "forgetting"


def _plan_file(project: ProjectFolder) -> Path:
    return _plan_folder(project) / "plan.json"
