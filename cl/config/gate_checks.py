"""What the gates of a configuration need from its other sections: a gate that cannot say no is refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from cl import plugins
from cl.config.data import DataSettings
from cl.config.evaluation import EvaluationSettings, Robustness
from cl.config.gating import GatePolicy
from cl.config.section import PluginSpec
from cl.config.training import TrainingSettings
from cl.records.evaluation import BASELINES, STORED


def check_gates(
    specs: Sequence[PluginSpec],
    *,
    data: DataSettings,
    policy: GatePolicy,
    evaluation: EvaluationSettings,
    training: TrainingSettings,
) -> None:
    """Check that every gate finds what it judges, and is listed once.

    Raises:
        ValueError: a gate can never refuse anything, or would run code that is not allowed.
    """
    gates = [plugins.build("gates", spec) for spec in specs]
    kept, unmeasured = {*data.keep, *(["date"] if data.date else [])}, dict(_unmeasured(evaluation, training))
    for index, gate in enumerate(gates):
        if gate in gates[:index]:
            raise ValueError(
                f"gates: {gate.name}: is listed twice with the same settings; list it once, as every further "
                "comparison makes all gates less sure"
            )
        _check_columns(gate, kept)
        if gate.function and policy.functions == "refuse":
            raise ValueError(
                f"gates: {gate.name}: function '{gate.function}' would run code; "
                "if you trust it, set gate_policy.functions: allow"
            )
        if missing := sorted(gate.measurements & unmeasured.keys()):
            remedy = unmeasured[missing[0]]
            raise ValueError(f"gates: {gate.name}: '{missing[0]}' is not measured; {remedy}, or remove the gate")


def _check_columns(gate: Any, kept: set[str]) -> None:
    if missing := sorted(gate.columns - STORED - kept):
        close = difflib.get_close_matches(missing[0], [*STORED, *kept], n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ValueError(
            f"gates: {gate.name}: stored rows have no column '{missing[0]}'; {hint}"
            f"if your data has it, add it to data.keep; stored columns: {', '.join(sorted({*STORED, *kept}))}"
        )


def _unmeasured(evaluation: EvaluationSettings, training: TrainingSettings) -> Iterator[tuple[str, str]]:
    """Yield the numbers that no evaluation has under these settings, and what to set for them."""
    if not evaluation.baselines:
        for name in ("over_baseline", *(f"baseline_{name}" for name in BASELINES)):
            yield name, "set evaluation.baselines: true"
    for kind in set(get_args(Robustness)) - set(evaluation.robustness):
        yield f"robustness_{kind}", f"add {kind} to evaluation.robustness"
    if evaluation.out_of_scope.label is None and evaluation.out_of_scope.file is None:
        yield "oos_auroc", "set evaluation.out_of_scope"
    if training.control is None:
        for name in ("forgetting_avoided", "learning_cost"):
            yield name, "set training.control"
