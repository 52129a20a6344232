"""Plan a change of labels: check what was asked for, and count the rows that change."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from pydantic import Field

from cl import plugins
from cl.config import Config
from cl.errors import InputError
from cl.ingestion.check_rows import MAX_NAME_CHARS, list_columns
from cl.ingestion.label_cells import read_label_cells
from cl.ingestion.sources.files import Files
from cl.ingestion.values import as_label, as_text
from cl.records import SPLITS, Record
from cl.stores.actor import current_actor
from cl.stores.data.label_changes import (
    ChangeKind,
    LabelChange,
    Relabelling,
    count_changed,
    read_label_changes,
)
from cl.stores.stores import Stores
from cl.tasks import Column, Schema, Task, ValueKind

SHOWN = 5


class WantedChange(Record):
    """What was asked for."""

    kind: ChangeKind
    labels: list[str] = Field(description="The labels to change")
    into: list[str] = Field(default_factory=list, description="The labels in their place")
    why: str
    by_file: Path | None = Field(default=None, description="For a split: the file with each row's new label")
    rest: str | None = Field(default=None, description="For a split: the label of rows that the file does not name")


class ChangePlan(Record):
    """What to change; it is stored only on this machine, until it is done."""

    change: LabelChange
    of_rows: dict[str, str] = Field(default_factory=dict, description="For a split: id -> new label")
    champion: str | None = Field(description="The champion when the change was asked for")

    @property
    def relabelling(self) -> Relabelling:
        """How rows and models are read under the new labels."""
        change = self.change
        name = change.into[0] if len(change.into) == 1 else None
        return Relabelling(
            names=dict.fromkeys(change.ended, name),
            of_rows=self.of_rows,
            added=tuple(change.into) if change.kind == "split" else (),
        )


def plan_change(config: Config, stores: Stores, wanted: WantedChange) -> ChangePlan:
    """Return what a change would do; nothing is changed.

    Raises:
        InputError: a label is unknown or cannot be used, or a row of a label to be split has no new one.
        SourceError: the file of a split cannot be read.
    """
    known = known_labels(stores)
    labels, into = [as_label(name.strip()) for name in wanted.labels], [as_label(name.strip()) for name in wanted.into]
    past = read_label_changes(stores.project)
    if wanted.kind == "restore":
        _refuse_restoring(into[0], known, past.former())
    else:
        _refuse_unknown(labels, known)
    of_rows = dict[str, str]()
    if wanted.kind == "split":
        of_rows, into = _read_split(config, stores, labels[0], wanted)
    _refuse_unusable(wanted.kind, labels, into, known)
    change = LabelChange(
        number=len(past.changes) + 1,
        kind=wanted.kind,
        labels=labels,
        into=into,
        changed_at=datetime.now(UTC),
        by=current_actor(),
        why=wanted.why,
        rows=_count_rows(
            stores,
            plugins.build(Task, config.task).schema.answer,
            set(labels) - (set() if wanted.kind == "split" else set(into)),
            of_rows,
        ),
    )
    return ChangePlan(change=change, of_rows=of_rows, champion=stores.ledger.champion(config.name))


def known_labels(stores: Stores) -> dict[str, int]:
    """Return the labels of all experiences, or their entity types, with their rows."""
    counts = Counter[str]()
    for experience in stores.experiences.all():
        counts.update(experience.labels)
    return dict(sorted(counts.items()))


def _refuse_unknown(labels: Sequence[str], known: dict[str, int]) -> None:
    for label in labels:
        if label not in known:
            close = difflib.get_close_matches(label, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are: {_listed(known)}"
            raise InputError(f"no row has the label '{label[:MAX_NAME_CHARS]}'; {hint}")


def _refuse_restoring(label: str, known: dict[str, int], former: dict[str, str | None]) -> None:
    if label not in former:
        raise InputError(f"'{label[:MAX_NAME_CHARS]}' is no former label; there are: {_listed(former)}")
    if former[label] is not None:
        raise InputError(f"'{label}' is called '{former[label]}' today; cl labels rename '{former[label]}' '{label}'")
    if label in known:
        raise InputError(f"'{label}' is in use")


def _refuse_unusable(kind: ChangeKind, labels: Sequence[str], into: Sequence[str], known: dict[str, int]) -> None:
    if kind == "rename" and into[0] in known:
        raise InputError(
            f"'{into[0]}' is a label already: cl labels merge '{labels[0]}' '{into[0]}' --into '{into[0]}'"
        )
    if kind == "merge" and len(set(labels) | (set(into) & known.keys())) < 2:
        raise InputError("a merge takes two labels or more")
    if kind == "split" and len(into) < 2:
        raise InputError(f"a split gives two labels or more, and this one gives only '{into[0]}'; use cl labels rename")
    if kind == "retire" and not known.keys() - set(labels):
        raise InputError(f"'{labels[0]}' is the only label; nothing would be left to answer")
    for name in into:
        if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
            raise InputError(
                f"a label has 1 to {MAX_NAME_CHARS} printable characters; '{name[:80].strip()}' cannot be one"
            )


def _read_split(config: Config, stores: Stores, label: str, wanted: WantedChange) -> tuple[dict[str, str], list[str]]:
    """Return the new label of each row by its id, and all new labels."""
    task: Task = plugins.build(Task, config.task)
    answer = task.schema.answer
    if answer.kind is not ValueKind.LABEL:
        what = "a type of entity" if answer.kind is ValueKind.TAGS else "one of several labels"
        raise InputError(f"{what} is split by correcting its rows: cl ingest FILE --corrections, then cl labels retire")
    assert wanted.by_file is not None
    by_id, by_text = _read_new_labels(config, stores, task.schema, wanted.by_file)
    text = task.schema.input.name if task.schema.input else "id"
    of_rows, unnamed = dict[str, str](), 0
    for experience in stores.experiences.all():
        for split in SPLITS if label in experience.labels else ():
            rows = stores.experiences.rows(experience.id, split)
            chosen = rows[rows[answer.name] == label]
            for id, key in zip(chosen["id"], chosen[text], strict=True):
                new = by_id.get(id) or by_text.get(key) or wanted.rest
                unnamed += new is None
                of_rows[id] = as_label(new.strip()) if new else ""
    if unnamed:
        raise InputError(
            f"{wanted.by_file}: {unnamed} of the {len(of_rows)} rows of '{label}' are not named there; "
            "name them, or give the label of the rest: --rest LABEL"
        )
    return of_rows, sorted(set(of_rows.values()))


def _read_new_labels(
    config: Config, stores: Stores, schema: Schema, path: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Return id -> label and text -> label, as the file has them; a text names no row where there are other inputs."""
    data, by_id, by_text = config.data, dict[str, str](), dict[str, str]()
    label, text = data.name_of(schema.answer.name), data.name_of(schema.input.name) if schema.input else None
    for batch in Files(path=str(path.absolute())).batches(stores.project.root, chunk_rows=data.chunk_rows):
        for chunk in batch.chunks:
            keys = [name for name in (data.id, text) if name is not None and name in chunk]
            if label not in chunk or not keys:
                named = " or ".join(f"'{name}'" for name in dict.fromkeys((data.id, text)) if name)
                raise InputError(
                    f"{path}: needs a column '{label}' with the new label, and {named} to know the row by; "
                    f"there are: {list_columns(chunk)}"
                )
            labels = read_label_cells(chunk[label])[0]
            for name, target in ((data.id, by_id), (text, by_text)):
                if name in keys:
                    target.update(_pairs(path, chunk[name], labels, known=target))
    return by_id, by_text


def _pairs(path: Path, keys: pd.Series, labels: list[str | None], *, known: dict[str, str]) -> dict[str, str]:
    pairs = dict[str, str]()
    for key, label in zip(as_text(keys), labels, strict=True):
        if key is None or label is None:
            continue
        if pairs.get(key, known.get(key, label)) != label:
            raise InputError(
                f"{path}: '{key[:80]}' has two labels there, '{pairs.get(key) or known[key]}' and '{label}'"
            )
        pairs[key] = label
    return pairs


def _count_rows(stores: Stores, answer: Column, labels: set[str], of_rows: dict[str, str]) -> dict[str, dict[str, int]]:
    """Return experience -> split -> rows whose label changes."""
    result: dict[str, dict[str, int]] = {}
    for experience in stores.experiences.all():
        if not labels & experience.labels.keys():
            continue
        counts = dict[str, int]()
        for split in SPLITS:
            rows = stores.experiences.rows(experience.id, split)
            rows = rows[[of_rows.get(id, "") not in labels for id in rows["id"]]]
            if changed := count_changed(rows, answer, labels.__contains__):
                counts[split] = changed
        if counts:
            result[experience.id] = counts
    return result


def _listed(names: dict[str, object] | dict[str, int] | dict[str, str | None]) -> str:
    shown = ", ".join(f"'{name}'" for name in list(names)[:SHOWN])
    return f"{shown}, and {len(names) - SHOWN} more" if len(names) > SHOWN else shown or "none"
