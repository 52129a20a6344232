"""Carry out a change of labels: in the experiences, in the champion, and on record.

The plan is written first (`.cl/labels/plan.json`); every step may be repeated, and the next command on this project
finishes what a killed process has begun.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from cl import plugins
from cl.config import Config
from cl.process.progress import stage
from cl.records import Record
from cl.revision.plan_labels import ChangePlan
from cl.stores.data.label_changes import LabelChange, read_label_changes, write_label_change
from cl.stores.data.removal import remove_derived
from cl.stores.data.rewrite import rewrite_experience
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder, mark_pending
from cl.stores.stores import Stores
from cl.tasks import Schema, Task


class ChangedLabels(Record):
    """The result of a change."""

    change: LabelChange
    data_version: str
    version: str | None = Field(default=None, description="The version in the champion's place; None: there was none")
    withdrawn: list[str] = Field(default_factory=list, description="Versions that answer former labels")


def begin_change(project: ProjectFolder, plan: ChangePlan) -> None:
    """Write the plan: from here on it will be carried out, by this process or the next."""
    shutil.rmtree(_plan_folder(project), ignore_errors=True)
    write_text(_plan_file(project), plan.model_dump_json())


def finish_change(config: Config, stores: Stores) -> ChangedLabels | None:
    """Carry out the written plan, resuming where it was left; None: there is no plan.

    Raises:
        StoreError: a store is unreachable; run it again.
    """
    project = stores.project
    if not _plan_file(project).exists():
        return None
    plan = ChangePlan.model_validate_json(_plan_file(project).read_bytes())
    with stage("change the data"):
        version = _change_data(stores, plan, plugins.build(Task, config.task).schema)
    if plan.change.ended or plan.of_rows:
        with stage("load libraries"):
            from cl.revision.relabel_champion import relabel_champion

        done = relabel_champion(config, stores, plan, data_version=version, scratch=_plan_folder(project))
        remove_derived(project, list(plan.change.rows))
    else:  # a name that may be used again: no row and no model changes
        done = None
    for path in _plan_folder(project).iterdir():  # the plan goes last: while it exists, all this is repeated
        if path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree(_plan_folder(project))
    replaced = {} if done is None else {"version": done.version, "withdrawn": done.withdrawn}
    return ChangedLabels(change=plan.change, data_version=version, **replaced)


def _change_data(stores: Stores, plan: ChangePlan, schema: Schema) -> str:
    """Rewrite the experiences under the new labels, record the change, and commit a new version of data/."""
    project, change = stores.project, plan.change
    recorded = [past.number for past in read_label_changes(project).changes]
    if change.number not in recorded or not stores.data.is_clean():
        mark_pending(project, f"the labels of change {change.number}")
        relabelling = plan.relabelling

        def under_new_labels(batch: pa.RecordBatch) -> pa.RecordBatch:
            rows = relabelling.rows(batch.to_pandas(), schema.answer)
            columns = [pa.array(rows[field.name], field.type, from_pandas=True) for field in batch.schema]
            return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

        for id in change.rows:
            rewrite_experience(project, id, under_new_labels, _plan_folder(project), schema=schema, removed="retired")
        write_label_change(project, change)
    return stores.data.commit()


def _plan_folder(project: ProjectFolder) -> Path:
    return project.work / "labels"


def _plan_file(project: ProjectFolder) -> Path:
    return _plan_folder(project) / "plan.json"
