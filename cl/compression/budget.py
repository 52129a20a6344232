"""Whether a version is too dear: what the gates and a budget say of its time, size and memory."""

from __future__ import annotations

from collections.abc import Sequence

from cl.config import Config
from cl.records import REWRITTEN, Evaluation, GateReport, VersionInfo
from cl.registry.lineage import History, ancestry
from cl.stores.mlflow.registry import FORM

COSTS = ("latency_ms", "latency_p50_ms", "latency_p95_ms", "rows_per_second", "size_mb", "memory_mb")
"""Numbers that a cheaper version betters: a gate on one of them is about cost."""


def compression_reasons(
    config: Config, evaluation: Evaluation, gates: GateReport, *, champion: History, updates: int
) -> list[str]:
    """Return why a cheaper version of a challenger is wanted; [] where it is not, or where it is not good enough.

    Args:
        config: under ``distil``, what asks for one.
        evaluation: of the challenger.
        gates: on the challenger.
        champion: where the champion comes from.
        updates: since the last cheaper version, this one too.
    """
    if not passes_quality_gates(gates):
        return []
    refused = [one for one in gates.verdicts if not one.passed]
    when, found = config.distil.when, []
    if when.gate:
        found += [f"{one.gate} refuses: {one.why}" for one in refused]
    found += exceeded_bounds(config, evaluation)
    if when.updates is not None and updates >= when.updates:
        found.append(f"{updates} updates since the last cheaper version, distil.when.updates is {when.updates}")
    if champion.form is not None and (config.distil.then == "teacher" or champion.form in REWRITTEN):
        found.append(f"the champion is a cheaper version ({champion.form}) of what has learnt now")
    return found


def passes_quality_gates(gates: GateReport) -> bool:
    """Tell whether a version passes all gates that are not about cost, or would not be refused by them."""
    return gates.mode != "enforce" or all(one.passed or is_cost_gate(one.gate) for one in gates.verdicts)


def ends_climb(config: Config, gates: GateReport) -> bool:
    """Tell whether a climb may stop: a version passes, or a cheaper one of it is made because it is only too dear."""
    return gates.passed or (config.distil.when.gate and bool(config.distil.forms) and passes_quality_gates(gates))


def is_cost_gate(gate: str) -> bool:
    """Tell whether a verdict's gate is about time, size or memory."""
    return any(word in COSTS for word in gate.split())


def exceeded_bounds(config: Config, evaluation: Evaluation) -> list[str]:
    """Return which bounds of the budget a version is beyond, in words."""
    when, memory = config.distil.when, evaluation.numbers.get("memory_mb", 0.0)
    measured = [
        ("max_latency_ms", evaluation.latency_ms, when.max_latency_ms),
        ("max_size_mb", evaluation.size_mb, when.max_size_mb),
        ("max_memory_mb", memory, when.max_memory_mb),
    ]
    return [
        f"distil.when.{name} is {bound:g}, measured are {value:.1f}"
        for name, value, bound in measured
        if bound is not None and value > bound
    ]


def updates_since(champion: str | None, versions: Sequence[VersionInfo]) -> int:
    """Return how many updates the champion's line has had since a version was last derived, and the one now with it."""
    derived = {one.version for one in versions if one.tags.get(FORM)}
    line = ancestry(champion, versions)
    return 1 + next((at for at, one in enumerate(line) if one in derived), len(line))
