"""Cycles and status as lines for a terminal."""

from __future__ import annotations

from typing import Any

from cl.records import CompressionResult, Cycle, LadderResult
from cl.reports.terminal.ledger import beside_line, waiting_line

GROUPS = 20
"""Groups that a gate refuses, shown at most."""
HEADER = (
    f"{'experience':<22}{'rows':>6}{'quarantined':>13}  {'drift':<7}{'decision':<10}{'accuracy':>9}{'forgotten':>11}"
    f"  {'verdict':<10}{'champion':>8}{'seconds':>9}"
)


def cycle_line(cycle: Cycle) -> str:
    """Return one line of the table of cycles; accuracy is the challenger's ACC, or the champion's on a quiet month."""
    scored = cycle.evaluation
    accuracy = scored.accuracy if scored else cycle.drift.champion_score
    forgotten = f"{100 * scored.forgetting_max:.1f} pt" if scored else "-"
    return (
        f"{cycle.experience.id:<22}{cycle.experience.total:>6}{cycle.experience.quarantined_rows:>13}  "
        f"{'yes' if cycle.drift.drifted else 'no':<7}{cycle.decision.action:<10}"
        f"{'-' if accuracy is None else f'{100 * accuracy:.1f} %':>9}{forgotten:>11}  "
        f"{cycle.verdict:<10}{cycle.champion_after or '-':>8}{cycle.seconds:>9.1f}"
    )


def reason_lines(cycles: list[Cycle]) -> list[str]:
    """Return, for each cycle, why it learnt or did not, and which gate refused."""
    lines = []
    for cycle in cycles:
        lines.append(f"{cycle.experience.id}: {'; '.join(cycle.decision.reasons)}")
        lines += [f"    {line}" for line in climb_lines(cycle.climb)]
        told = cycle.climb.judged[-1].refused_by if cycle.climb else {}
        verdicts = cycle.gates.verdicts if cycle.gates else []
        refused = [verdict for verdict in verdicts if not verdict.passed and verdict.gate not in told]
        lines += [f"    {line}" for one in cycle.derived for line in derivation_lines(one)]
        lines += [f"    refused by {verdict.gate}: {verdict.why}" for verdict in refused]
    return lines


def climb_lines(climb: LadderResult | None) -> list[str]:
    """Return a line for each rung of a climb: what it cost, and why it was not enough."""
    lines = []
    for one in climb.attempts if climb else []:
        if one.skipped is not None:
            lines.append(f"rung {one.rung}: not begun: {one.skipped}")
            continue
        refusals = "; ".join(f"{gate}: {why}" for gate, why in one.refused_by.items())
        stopped = f"diverged: {one.diverged}" if one.diverged is not None else f"refused by {refusals}"
        end = "passed" if one.passed else stopped
        lines.append(f"rung {one.rung}: {one.rows:,} rows, {one.seconds:.1f} s, {end}")
    return lines


def derivation_lines(one: CompressionResult) -> list[str]:
    """Return what became of a version that was derived from another one."""
    head = f"{one.form} of version {one.teacher}, because {'; '.join(one.why)}"
    if one.failure is not None:
        return [head, f"cannot be made: {one.failure}"]
    verdict = "passes its gates" if one.passed else f"is refused by {', '.join(one.refused_by) or 'the smoke test'}"
    return [
        head,
        f"version {one.version} {verdict}: {100 * one.accuracy:.1f} % (its teacher {100 * one.teacher_accuracy:.1f}), "
        f"{one.latency_ms:.2f} ms ({one.teacher_latency_ms:.2f}), {one.size_mb:.1f} MB ({one.teacher_size_mb:.1f})",
    ]


def distil_lines(found: dict[str, Any]) -> list[str]:
    """Return what `cl distil` shows."""
    refused = {one["gate"]: one["why"] for one in found["verdicts"] if not one["passed"]}
    one = CompressionResult.model_validate(
        {name: found[name] for name in CompressionResult.model_fields} | {"refused_by": refused}
    )
    lines = [*derivation_lines(one), *(f"refused by {name}: {why}" for name, why in refused.items())]
    return lines + ([f"it is the challenger: cl promote {one.version}"] if one.passed else [])


def cycle_lines(cycles: list[Cycle]) -> list[str]:
    """Return the table of cycles with the reasons below it."""
    return [HEADER, *(cycle_line(cycle) for cycle in cycles), "", *reason_lines(cycles)]


def status_lines(status: dict[str, Any]) -> list[str]:
    """Return what `cl status` shows."""
    last, answers = status["last_cycle"], status["predictions"]
    waiting = ", ".join(status["waiting"]) or "nothing"
    lines = [
        f"model       {status['model']}",
        f"champion    {'version ' + status['champion'] if status['champion'] else 'none yet'}",
        *[beside_line(status, alias) for alias in ("canary", "shadow") if status[alias]],
        *([waiting_line(status["approval"])] if status["approval"] else []),
        f"last cycle  {last['experience'] + ': ' + last['verdict'] if last else 'none yet'}",
        f"waiting     {waiting}",
        *[f"held        {name}: look at `cl history`, then cl run --again {name}" for name in status["held"]],
        f"data        {status['data_version'] or 'not versioned yet'}",
        f"answers     {answers['answered']} logged, {answers['labelled']} have a label by now",
        "",
        f"{'version':<9}{'gates':<9}{'experience':<24}{'aliases'}",
    ]
    for version in status["versions"]:
        tags = version["tags"]
        lines.append(
            f"{version['version']:<9}{tags.get('cl.gates', '-'):<9}{tags.get('cl.experience', '-'):<24}"
            f"{', '.join(version['aliases'])}"
        )
    return lines
