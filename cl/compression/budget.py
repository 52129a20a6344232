"""Decide whether a version is too expensive, from the gates and a budget for its time, size and memory."""

from __future__ import annotations

from collections.abc import Sequence

from cl.config import Config
from cl.records import REWRITTEN, Evaluation, GateReport, VersionInfo
from cl.records.history import History
from cl.registry.lineage import ancestry
from cl.stores.mlflow.registry import FORM

COSTS = ("latency_ms", "latency_p50_ms", "latency_p95_ms", "rows_per_second", "size_mb", "memory_mb")
"""Numbers that a cheaper version improves: a gate on any of them is a cost gate."""


def compression_reasons(
    config: Config, evaluation: Evaluation, gates: GateReport, *, champion: History, updates: int
) -> list[str]:
    """Return why a challenger should be compressed; [] if it should not, or if it fails a quality gate.

    Args:
        config: its ``distil`` section says when to compress.
        evaluation: of the challenger.
        gates: on the challenger.
        champion: the champion's history.
        updates: since the last cheaper version, including this one.
    """
    if not passes_quality_gates(gates):
        return []
    refused = [verdict for verdict in gates.verdicts if not verdict.passed]
    when, reasons = config.distil.when, []
    if when.gate:
        reasons += [f"{verdict.gate} refuses: {verdict.why}" for verdict in refused]
    reasons += exceeded_bounds(config, evaluation)
    if when.updates is not None and updates >= when.updates:
        reasons.append(f"{updates} updates since the last cheaper version, distil.when.updates is {when.updates}")
    if champion.form is not None and (config.distil.then == "teacher" or champion.form in REWRITTEN):
        reasons.append(f"the champion is a cheaper version ({champion.form}) of the model that has just been updated")
    return reasons


def passes_quality_gates(gates: GateReport) -> bool:
    """Return whether a version passes all quality gates, or whether gates are not enforced."""
    return gates.mode != "enforce" or all(verdict.passed or is_cost_gate(verdict.gate) for verdict in gates.verdicts)


def ends_climb(config: Config, gates: GateReport) -> bool:
    """Return whether a climb may stop: the version passes, or fails cost gates only and will be compressed."""
    return gates.passed or (config.distil.when.gate and bool(config.distil.forms) and passes_quality_gates(gates))


def is_cost_gate(gate: str) -> bool:
    """Return whether a gate is about time, size or memory."""
    return any(word in COSTS for word in gate.split())


def exceeded_bounds(config: Config, evaluation: Evaluation) -> list[str]:
    """Describe each bound of the budget that a version exceeds."""
    when, memory = config.distil.when, evaluation.numbers.get("memory_mb", 0.0)
    measured = [
        ("max_latency_ms", evaluation.latency_ms, when.max_latency_ms),
        ("max_size_mb", evaluation.size_mb, when.max_size_mb),
        ("max_memory_mb", memory, when.max_memory_mb),
    ]
    return [
        f"distil.when.{name} is {bound:g}, measured {value:.1f}"
        for name, value, bound in measured
        if bound is not None and value is not None and value > bound
    ]


def updates_since(champion: str | None, versions: Sequence[VersionInfo]) -> int:
    """Return how many updates the champion's line has had since its last derived version, including the current one."""
    derived = {version.version for version in versions if version.tags.get(FORM)}
    line = ancestry(champion, versions)
    return 1 + next((distance for distance, version in enumerate(line) if version in derived), len(line))
