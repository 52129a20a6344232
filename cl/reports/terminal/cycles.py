"""Format cycles, compression results and status for a terminal."""

from __future__ import annotations

from typing import Any

from cl.records import CompressionResult, Cycle, Evaluation, LadderResult, Verdict
from cl.reports.entities import format_report
from cl.reports.measurements import (
    UNDECIDED,
    describe_balance,
    describe_baselines,
    describe_comparisons,
    describe_cut,
    describe_early_signs,
    describe_end_to_end,
    describe_faults,
    describe_score,
    format_forgotten,
    format_share,
)
from cl.reports.terminal.ledger import trial_line, waiting_line

GROUPS = 20
"""The most refused groups of a gate that are shown."""
WORST = 10
"""The classes with the lowest F1 that are shown."""
HEADER = (
    f"{'experience':<22}{'rows':>6}{'quarantined':>13}  {'drift':<7}{'decision':<10}{'score':<32}{'forgotten pt':>13}"
    f"  {'verdict':<10}{'champion':>8}{'seconds':>9}"
)


def cycle_line(cycle: Cycle) -> str:
    """Return a line of the table of cycles; the score names its metric and rows."""
    evaluation = cycle.evaluation
    forgotten = format_forgotten(evaluation)
    return (
        f"{cycle.experience.id:<22}{cycle.experience.total:>6}{cycle.experience.quarantined_rows:>13}  "
        f"{'yes' if cycle.drift.drifted else 'no':<7}{cycle.decision.action:<10}"
        f"{describe_score(cycle):<32}{forgotten:>13}  "
        f"{cycle.verdict:<10}{cycle.champion_after or '-':>8}{cycle.seconds:>9.1f}"
    )


def class_lines(evaluation: Evaluation, most: int = WORST) -> list[str]:
    """Return a table of the classes with the lowest F1."""
    worst = sorted(evaluation.per_class.items(), key=lambda entry: (entry[1]["f1"], entry[0]))[:most]
    if not worst:
        return []
    head = f"{'class':<30}{'test rows':>10}{'precision %':>13}{'recall %':>10}{'F1 %':>8}"
    count, widths = len(evaluation.per_class), {"precision": 13, "recall": 10, "f1": 8}
    title = f"The {len(worst)} of {count} classes with the lowest F1:" if count > len(worst) else "Each class:"
    return [
        title,
        head,
        *(
            f"{name[:29]:<30}{metrics['count']:>10.0f}"
            + "".join(f"{100 * metrics[metric]:>{width}.1f}" for metric, width in widths.items())
            for name, metrics in worst
        ),
    ]


def reason_lines(cycles: list[Cycle]) -> list[str]:
    """Return for each cycle why it updated the model or not, and which gates refused."""
    lines = []
    for cycle in cycles:
        lines.append(f"{cycle.experience.id}: {'; '.join(cycle.decision.reasons)}")
        if cycle.training and (cut := describe_cut(cycle.training)):
            lines.append(f"    {cut}")
        lines += [f"    {line}" for line in ladder_lines(cycle.climb)]
        listed = cycle.climb.judged[-1].refused_by if cycle.climb else {}
        verdicts = cycle.gates.verdicts if cycle.gates else []
        refused = [verdict for verdict in verdicts if not verdict.passed and verdict.gate not in listed]
        lines += [f"    {line}" for result in cycle.derived for line in compression_lines(result)]
        lines += [f"    refused by {verdict.gate}: {verdict.why}" for verdict in refused]
        lines += [f"    {line}" for line in undecided_lines(cycle)]
        if cycle.evaluation:
            described = (
                describe_baselines,
                describe_end_to_end,
                describe_comparisons,
                describe_early_signs,
                describe_faults,
                describe_balance,
            )
            lines += [f"    {line}" for describe in described for line in describe(cycle.evaluation)]
    return lines


def undecided_lines(cycle: Cycle) -> list[str]:
    """Return which gates passed a challenger without deciding, and how many test rows would decide."""
    verdicts = cycle.gates.verdicts if cycle.gates and cycle.gates.passed else []
    undecided = [verdict for verdict in verdicts if verdict.undecided and verdict.passed]
    if not undecided:
        return []
    gates = "1 undecided gate" if len(undecided) == 1 else f"{len(undecided)} undecided gates"
    return [f"{cycle.verdict} with {gates}:", *(f"    {_describe_undecided(verdict)}" for verdict in undecided)]


def _describe_undecided(verdict: Verdict) -> str:
    rows = f"; about {verdict.rows_needed:,} such test rows would decide" if verdict.rows_needed else ""
    return f"{verdict.gate}: {verdict.why}{rows}"


def ladder_lines(climb: LadderResult | None) -> list[str]:
    """Return a line for each rung of the ladder: its cost, and why it passed or failed."""
    lines = []
    for attempt in climb.attempts if climb else []:
        if attempt.skipped is not None:
            lines.append(f"rung {attempt.rung}: not started: {attempt.skipped}")
            continue
        if attempt.outdone is not None:
            lines.append(f"rung {attempt.rung}: {attempt.rows:,} rows, {attempt.seconds:.1f} s, {attempt.outdone}")
            continue
        refusals = "; ".join(f"{gate}: {why}" for gate, why in attempt.refused_by.items())
        failure = f"diverged: {attempt.diverged}" if attempt.diverged is not None else f"refused by {refusals}"
        outcome = "passed" if attempt.passed else failure
        lines.append(f"rung {attempt.rung}: {attempt.rows:,} rows, {attempt.seconds:.1f} s, {outcome}")
    return lines


def compression_lines(result: CompressionResult) -> list[str]:
    """Return what was derived from a version, why, and with which result."""
    head = f"{result.form} of version {result.teacher}, because {'; '.join(result.why)}"
    if result.failure is not None:
        return [head, f"failed: {result.failure}"]
    verdict = (
        "passes its gates" if result.passed else f"is refused by {', '.join(result.refused_by) or 'the smoke test'}"
    )
    return [
        head,
        f"version {result.version} {verdict}: "
        f"{format_share(result.accuracy)} (teacher: {format_share(result.teacher_accuracy, unit='')}), "
        f"{_format_ms(result.latency_ms)} ms ({_format_ms(result.teacher_latency_ms)}), "
        f"{result.size_mb:.1f} MB ({result.teacher_size_mb:.1f})",
    ]


def _format_ms(value: float | None) -> str:
    return UNDECIDED if value is None else f"{value:.2f}"


def distil_lines(output: dict[str, Any]) -> list[str]:
    """Format the output of `cl distil`."""
    refused = {verdict["gate"]: verdict["why"] for verdict in output["verdicts"] if not verdict["passed"]}
    result = CompressionResult.model_validate(
        {name: output[name] for name in CompressionResult.model_fields} | {"refused_by": refused}
    )
    lines = [*compression_lines(result), *(f"refused by {name}: {why}" for name, why in refused.items())]
    return lines + ([f"it is now the challenger; to promote it: cl promote {result.version}"] if result.passed else [])


def cycle_lines(cycles: list[Cycle], *, report: bool = True) -> list[str]:
    """Return the table of cycles, followed by the reasons and the classes that the last challenger knows least.

    Where answers have entities, they are followed by the report of all of them, unless ``report`` is False.
    """
    evaluated = [cycle.evaluation for cycle in cycles if cycle.evaluation]
    classes = ["", *class_lines(evaluated[-1])] if evaluated else []
    if evaluated and evaluated[-1].report:
        classes = ["", *format_report(evaluated[-1].report).splitlines()] if report else []
    return [HEADER, *(cycle_line(cycle) for cycle in cycles), "", *reason_lines(cycles), *classes]


def status_lines(status: dict[str, Any]) -> list[str]:
    """Format the output of `cl status`."""
    last, answers = status["last_cycle"], status["predictions"]
    waiting = ", ".join(status["waiting"]) or "nothing"
    later = ", ".join(status["left_for_later"]) or "nothing"
    lines = [
        f"model       {status['model']}",
        f"champion    {'version ' + status['champion'] if status['champion'] else 'none yet'}",
        *[trial_line(status, alias) for alias in ("canary", "shadow") if status[alias]],
        *([waiting_line(status["approval"])] if status["approval"] else []),
        *([f"tagger      {_tagger_words(status['tagger'])}"] if status["tagger"] else []),
        f"last cycle  {last['experience'] + ': ' + last['verdict'] if last else 'none yet'}",
        f"waiting     {waiting}",
        f"for later   {later}; {status['waiting_rows']:,} training rows wait to be learned",
        *[f"held        {name}: check `cl history`, then cl run --again {name}" for name in status["held"]],
        f"data        {status['data_version'] or 'not versioned yet'}",
        f"answers     {answers['answered']} logged, {answers['labelled']} labelled so far{_feedback(answers)}",
        *[f"outside     {line}" for line in status["outside"]],
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


def _tagger_words(tagger: dict[str, str | None]) -> str:
    if tagger["problem"] is not None:
        return str(tagger["problem"])
    version, before = tagger["version"], tagger["evaluated_with"]
    if version == before:
        return f"{version}, with which the champion was evaluated"
    return f"{version}; the champion was evaluated with {before or 'none'}: `cl evaluate` shows what changes"


def _feedback(answers: dict[str, int]) -> str:
    waiting = answers.get("feedback", 0)
    return f", {waiting} with feedback that is not ingested yet: cl ingest --from-serving" if waiting else ""
