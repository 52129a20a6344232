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
    sections = {name: _below(raw.get(name), section) for name, section in task.defaults.items() if name != "strategy"}
    if "strategy" in task.defaults:
        sections["strategy"] = _in_place_of(raw.get("strategy"), task.defaults["strategy"])
    return {**raw, **sections}


def _below(own: Any, defaults: Mapping[str, Any]) -> Any:
    """Return a section with defaults for what it does not say; one that is no mapping stays as it is.

    >>> _below({"name": "own"}, {"name": "usual", "max_length": 256})
    {'name': 'own', 'max_length': 256}
    """
    return own if own is not None and not isinstance(own, dict) else {**defaults, **(own or {})}


def _in_place_of(own: Any, usual: Mapping[str, Any]) -> Any:
    """Return the entry of a strategy: the usual one with what a configuration says of it, or another one as it is.

    >>> _in_place_of("replay", {"name": "replay", "ratio": 0.05}), _in_place_of("ewc", {"name": "replay"})
    ({'name': 'replay', 'ratio': 0.05}, 'ewc')
    """
    if own is None or own == usual["name"]:
        return dict(usual)
    return {**usual, **own} if isinstance(own, dict) and own.get("name") == usual["name"] else own
