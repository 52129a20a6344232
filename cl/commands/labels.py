"""`cl labels`: list the labels, and rename, merge, split, retire or restore them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.promotion.repair import locked_and_repaired
from cl.revision import forget
from cl.revision.change_labels import ChangedLabels, begin_change, finish_change
from cl.revision.plan_labels import WantedChange, known_labels, plan_change
from cl.stores.data.label_changes import LabelChange, read_label_changes
from cl.stores.opened import OpenProject, open_project


def list_labels(folder: Path) -> dict[str, Any]:
    """Return the labels, or entity types, with their rows, and all changes of them, oldest first."""
    project = open_project(folder)
    changes = read_label_changes(project.project).changes
    return {
        "labels": known_labels(project.stores),
        "changes": [{**_to_result(change), "rows": change.total} for change in changes],
    }


def change_labels(folder: Path, wanted: WantedChange, *, dry_run: bool) -> dict[str, Any]:
    """Change labels, and return what was done, or with ``dry_run`` what would be done.

    The same change that a killed process has begun is finished, and its result returned.

    Raises:
        InputError: a label is unknown or cannot be used, or a row of a label to be split has no new one.
        BusyError: a cycle is running.
        StoreError: a store is unreachable; repeat the command to resume.
    """
    project = open_project(folder)
    with locked_and_repaired(project.stores):
        done = None if dry_run else finish_change(project.config, project.stores)
        if done is not None and _is(wanted, done.change):
            return _with_notices(project, done)
        if not dry_run:
            forget.finish_removal(project.config, project.stores)
        project.stores.data.bring()
        plan = plan_change(project.config, project.stores, wanted)
        if dry_run:
            return {"would_change": _to_result(plan.change)}
        begin_change(project.project, plan)
        finished = finish_change(project.config, project.stores)
        assert finished is not None
        return _with_notices(project, finished)


def _is(wanted: WantedChange, change: LabelChange) -> bool:
    return (wanted.kind, wanted.labels) == (change.kind, change.labels) and (
        wanted.kind == "split" or wanted.into == change.into
    )


def _with_notices(project: OpenProject, done: ChangedLabels) -> dict[str, Any]:
    """Return the result, with the settings that still name a former label."""
    raw = project.config.model_dump(mode="json", by_alias=True)
    named = {label: _settings_with(raw, label) for label in done.change.ended}
    return {
        **done.model_dump(mode="json", exclude={"change"}),
        "change": _to_result(done.change),
        "settings": {label: keys for label, keys in named.items() if keys},
    }


def _settings_with(value: Any, label: str, key: str = "") -> list[str]:
    """Return the keys of the settings that name a label, as a whole or quoted in a condition."""
    if isinstance(value, dict):
        inside = [(f"{key}.{name}" if key else str(name), part) for name, part in value.items()]
        own = [f"{key}.{name}" for name in value if name == label]
        return [*own, *(key for name, part in inside for key in _settings_with(part, label, name))]
    if isinstance(value, list):
        return [inner for index, part in enumerate(value) for inner in _settings_with(part, label, f"{key}.{index}")]
    names = isinstance(value, str) and (value == label or f"'{label}'" in value or f'"{label}"' in value)
    return [key] if names else []


def _to_result(change: LabelChange) -> dict[str, Any]:
    return {**change.model_dump(mode="json"), "says": change.describe()}
