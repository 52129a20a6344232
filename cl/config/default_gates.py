"""The gates where a configuration names none: those that the task has something to judge by."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from cl import plugins
from cl.config.capability_checks import measures_baselines
from cl.config.section import PluginSpec
from cl.errors import PluginError, UnknownPluginError
from cl.plugins import Capability

BASELINE_GATE: PluginSpec = {"name": "baseline", "margin": 0.02}
ANSWERS_GATE: PluginSpec = {"name": "answer_faults", "margin": 0.05}
DEFAULT_GATES: list[PluginSpec] = [
    BASELINE_GATE,
    {"name": "no_regression", "margin": 0.02},
    {"name": "forgetting", "max": 0.05},
]


def with_default_gates(raw: Any) -> Any:
    """Return a raw configuration with gates, where it names none.

    Without baselines, the gate `baseline` is left out: it could not refuse. Where answers are written, their faults
    are judged as well.
    """
    if not isinstance(raw, dict) or "gates" in raw:
        return raw
    gates = [gate for gate in DEFAULT_GATES if gate != BASELINE_GATE or measures_baselines(raw)]
    if _writes(raw):
        gates.append(ANSWERS_GATE)
    return raw if gates == DEFAULT_GATES else {**raw, "gates": gates}


def _writes(raw: dict[str, Any]) -> bool:
    try:
        task = plugins.build("tasks", raw.get("task", "text_classification"))
    except (UnknownPluginError, PluginError, ValidationError):
        return False  # its field says what is wrong
    return Capability.WRITING in task.provides and not task.reads_answers
