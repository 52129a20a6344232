"""Keep the stream's descriptions of labels as cl.yaml has them: new ones become an experience, old ones are retracted.

A description is a training row of its label. It is known by the hash of label and text, so one that was changed is a
new row, and the old one is retracted as a corrected row is: the next update starts without it.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.errors import ConfigError
from cl.ingestion.check_rows import canonical_columns, check_rows
from cl.ingestion.ingest import ingest
from cl.ingestion.internal_columns import SPLIT
from cl.ingestion.sources._descriptions import Descriptions
from cl.ingestion.values import one_line
from cl.records import DESCRIPTIONS, Experience
from cl.stores.actor import current_actor
from cl.stores.data.correction_records import Correction, read_corrections
from cl.stores.data.corrections import CorrectionPlan, ReplacedRows, begin_correction, finish_correction
from cl.stores.data.descriptions import descriptions_changed, remember_descriptions
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import fingerprints, is_known, load_known
from cl.stores.data.label_changes import read_label_changes
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Task, ValueKind

log = logging.getLogger(__name__)
SHOWN = 80
"""Characters of a text that a message shows."""


def ingest_descriptions(config: Config, project: ProjectFolder) -> Experience | None:
    """Bring the stream's descriptions up to date, and return the experience of the new ones; None: there are none.

    Every step may be repeated: what a killed process has begun, the next call finishes.

    Args:
        config: the descriptions, under ``data``.
        project: where the experiences are; the caller holds its lock.

    Raises:
        ConfigError: a description cannot be a row, or contradicts one of the stream; the message names it.
    """
    if not descriptions_changed(project, config.data.described):
        return None
    task: Task = plugins.build(Task, config.task)
    finish_correction(project, task.schema)
    wanted, stored = _as_rows(config, task), _stored(project)
    gone = {id: experience for id, experience in stored.items() if id not in set(wanted["id"])}
    new = wanted[~wanted["id"].isin(stored)].reset_index(drop=True)
    _check(new, config, task, project)
    _retract(gone, project, task)
    _refuse_contradictions(new, task, project)
    experiences = ingest(_settings(config), project, Descriptions(frame=new)) if len(new) else []
    if gone and not experiences:  # nothing new, so nothing is due
        log.warning(
            "%d removed from data.descriptions: the next update learns without; to learn now: cl run --again %s",
            *(len(gone), max(gone.values())),
        )
    remember_descriptions(project, config.data.described)
    return experiences[0] if experiences else None


def _as_rows(config: Config, task: Task) -> pd.DataFrame:
    """Return the configured descriptions as rows in canonical columns, with their split."""
    (text,), answer = task.schema.input_names, task.schema.answer
    described = config.data.described
    labels = [[label] if answer.kind is ValueKind.LABELS else label for label, _ in described]
    ids = [hashlib.sha256("\n".join(entry).encode()).hexdigest()[:16] for entry in described]
    columns: dict[object, list[object]] = {
        "id": [f"description-{id}" for id in ids],
        text: [text for _, text in described],
        answer.name: list(labels),
        SPLIT: ["train"] * len(ids),
    }
    return pd.DataFrame(columns, dtype=object)


def _stored(project: ProjectFolder) -> dict[str, str]:
    """Return the ids of the stream's descriptions, and the experience of each."""
    experiences = Experiences(project)
    return {
        id: experience.id
        for experience in experiences.all()
        if experience.describes_labels
        for id in experiences.column(experience.id, "id")["id"]
    }


def _settings(config: Config) -> Config:
    """Return the configuration that descriptions are ingested with: they never replace a row of the stream."""
    data = config.data.model_copy(update={"date": None, "corrections": "set_aside", "numeric_labels": "accept"})
    return config.model_copy(update={"data": data})


def _check(rows: pd.DataFrame, config: Config, task: Task, project: ProjectFolder) -> None:
    """Refuse a description that would be set aside, for whatever reason a row is."""
    if rows.empty:
        return
    settings = canonical_columns(_settings(config))
    checked = check_rows(rows, settings, task, origin=DESCRIPTIONS, changed=read_label_changes(project))
    if len(checked.bad):
        first = checked.bad.iloc[0]
        row = rows.loc[checked.bad.index[0]]
        raise ConfigError(f"{_name(row, task)}: {first['reason']}; write another, or remove it")


def _refuse_contradictions(rows: pd.DataFrame, task: Task, project: ProjectFolder) -> None:
    """Refuse a description whose text the stream has with another answer: a gate could not judge both."""
    if rows.empty:
        return
    prints, known = fingerprints(rows, task.schema), load_known(project, task.schema)
    other = is_known(prints.inputs, known.inputs) & ~is_known(prints.contents, known.contents)
    if other.any():
        row = rows.iloc[int(np.flatnonzero(other)[0])]
        raise ConfigError(
            f"{_name(row, task)}: the stream has this text with another label; say it in other words, or correct the "
            "row with cl ingest --corrections"
        )


def _retract(gone: dict[str, str], project: ProjectFolder, task: Task) -> None:
    """Remove descriptions from the stream, and record it so that the next update starts without them."""
    if not gone:
        return
    experiences, plan = Experiences(project), ReplacedRows()
    for experience in sorted(set(gone.values())):
        rows = experiences.rows(experience, "train")
        rows = rows[rows["id"].isin(gone)].reset_index(drop=True)
        prints = fingerprints(rows, task.schema)
        plan.ids[experience] = {"train": rows["id"].tolist()}
        pairs = zip(prints.ids.tolist(), prints.contents.tolist(), strict=True)
        plan.contents.update({f"{id:016x}": f"{content:016x}" for id, content in pairs})
    correction = Correction(
        number=len(read_corrections(project)) + 1,
        corrected_at=datetime.now(UTC),
        by=current_actor(),
        experience=max(gone.values()),
        rows=plan.count(),
        ids=sorted(plan.contents),
        contents=[plan.contents[id] for id in sorted(plan.contents)],
    )
    begin_correction(project, CorrectionPlan(correction=correction, replaced=plan))
    finish_correction(project, task.schema)
    log.info("%d descriptions of labels were retracted", len(gone))


def _name(row: pd.Series, task: Task) -> str:
    (text,), answer = task.schema.input_names, row[task.schema.answer.name]
    label = answer[0] if isinstance(answer, list) else answer
    return f"data.descriptions.{one_line(str(label), SHOWN)}: '{one_line(str(row[text]), SHOWN)}'"
