"""Whether the columns that a configuration names fit the schema of its task."""

from __future__ import annotations

from typing import Any

from cl.config.capability_checks import check_descriptions
from cl.config.data import CANONICAL, OWN_FIELDS, DataSettings

RESERVED = tuple(name for name in CANONICAL if name not in OWN_FIELDS)
"""Columns of stored rows that no task has."""


def check_columns(task: Any, data: DataSettings) -> None:
    """Check that what the configuration says about columns, and about labels, fits the columns of the task.

    Raises:
        ValueError: it names a column that the task does not have, or gives one of its names to another column; or it
            describes labels, and the task cannot learn such a row.
    """
    check_descriptions(task, described=bool(data.descriptions))
    names: tuple[str, ...] = task.schema.names
    if reserved := [name for name in names if name in RESERVED]:
        raise ValueError(f"task: '{task.name}' has a column '{reserved[0]}', a name that every stored row has already")
    others = [name for name in names if name not in OWN_FIELDS]
    for column in data.columns:
        if column in OWN_FIELDS:
            raise ValueError(f"data.columns: '{column}' has a setting of its own; set data.{column}")
        if column not in others:
            there = f"there are: {', '.join(others)}" if others else "it has none but those with settings of their own"
            raise ValueError(f"data.columns: task '{task.name}' has no column '{column}'; {there}")
    if taken := [name for name in data.keep if name in others]:
        raise ValueError(f"data.keep: '{taken[0]}' is a column of task '{task.name}', which is stored already")
    if data.join and len(task.schema.inputs) > 1:
        raise ValueError(
            f"data.join: task '{task.name}' has several inputs, {', '.join(task.schema.input_names)}, before none of "
            "which a text can be put; remove it"
        )
