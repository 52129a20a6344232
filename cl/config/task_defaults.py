"""The defaults of a task: what its configuration does not say, where the usual defaults do not suit its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cl import plugins
from cl.errors import PluginError, UnknownPluginError


def with_defaults_of_task(raw: Any) -> Any:
    """Return a raw configuration with what its task adds to sections that do not say it themselves."""
    if not isinstance(raw, dict):
        return raw
    try:
        task = plugins.build("tasks", raw.get("task", "text_classification"))
    except (UnknownPluginError, PluginError, ValidationError):
        return raw  # its field says what is wrong
    return {**raw, **{name: _below(raw.get(name), section) for name, section in task.defaults.items()}}


def _below(own: Any, defaults: Mapping[str, Any]) -> Any:
    """Return a section with defaults for what it does not say; one that is no mapping stays as it is.

    >>> _below({"name": "own"}, {"name": "usual", "max_length": 256})
    {'name': 'own', 'max_length': 256}
    """
    return own if own is not None and not isinstance(own, dict) else {**defaults, **(own or {})}
