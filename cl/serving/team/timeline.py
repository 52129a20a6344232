"""Finished cycles for the page: a page of them, newest first, and the alarms they began with."""

from __future__ import annotations

from collections.abc import Sequence

from cl.errors import PerennialError
from cl.records import Cycle, Drift
from cl.reports.measurements import UNDECIDED, describe_score, format_share
from cl.serving.team.records import Alarm, FiredDetector, GateLine, Timeline, TimelineRow
from cl.serving.team.texts import shorten
from cl.stores.mlflow.finished_runs import FinishedRun
from cl.stores.read_only import ReadOnlyStores

PAGE = 12
"""Cycles of a page."""
MOST_LINES = 8
"""Most reasons, gates or detectors that are shown of a cycle."""


def read_timeline(stores: ReadOnlyStores, skip: int = 0) -> tuple[Timeline, list[Cycle]]:
    """Return the cycles after the ``skip`` newest ones, and their records as far as they can be read.

    Only the records of this page are read, so the cost does not grow with the project's age.

    Raises:
        StoreError: MLflow's store cannot be read.
    """
    runs = stores.finished
    chosen = runs[::-1][skip : skip + PAGE]
    rows, cycles = list[TimelineRow](), list[Cycle]()
    for run in chosen:
        try:
            cycle = stores.cycle(run)
        except PerennialError as error:
            rows.append(_unread_row(run, error))
            continue
        rows.append(_row(cycle))
        cycles.append(cycle)
    older = skip + PAGE if skip + PAGE < len(runs) else None
    return Timeline(rows=rows, total=len(runs), older=older), cycles


def describe_forgotten(cycle: Cycle) -> str | None:
    """Return the worst forgetting in points with its sign, positive for a loss; None: nothing decides it."""
    worst = cycle.evaluation.forgetting_max if cycle.evaluation else None
    if worst is None:
        return None
    points = round(100 * worst, 1)
    return f"{points:+.1f} points" if points else "0.0 points"


def gate_lines(cycle: Cycle, *, refused_only: bool) -> list[GateLine]:
    """Return the verdicts of the gates of a cycle."""
    verdicts = cycle.gates.verdicts if cycle.gates else []
    chosen = [verdict for verdict in verdicts if not (refused_only and verdict.passed)]
    return [
        GateLine(gate=shorten(verdict.gate), verdict=verdict.word, why=shorten(verdict.why))
        for verdict in chosen[:MOST_LINES]
    ]


def champion_score(cycle: Cycle) -> str | None:
    """Return the champion's score on the rows that the challenger was tested on; None: it was not."""
    evaluation = cycle.evaluation
    if evaluation is None or evaluation.champion_accuracy is None:
        return None
    return f"{evaluation.metric} {format_share(evaluation.champion_accuracy)}"


def score_of(cycle: Cycle) -> str | None:
    """Return the score of a cycle and what it is of; None: there is none."""
    score = describe_score(cycle)
    return None if score == UNDECIDED else score


def alarm_of(drift: Drift, *, champion: str | None, rows: int, examples: Sequence[str]) -> Alarm | None:
    """Return the alarm of a drift check on an experience; None: nothing has drifted."""
    fired = [finding for finding in drift.findings if finding.drifted]
    if not fired:
        return None
    detectors = [
        FiredDetector(detector=shorten(finding.detector), summary=shorten(finding.summary))
        for finding in fired[:MOST_LINES]
    ]
    return Alarm(
        id=drift.experience,
        on_traffic=False,
        rows=rows,
        champion=champion,
        detectors=detectors,
        examples=len(examples),
    )


def _row(cycle: Cycle) -> TimelineRow:
    return TimelineRow(
        experience=shorten(cycle.experience.id),
        ended=cycle.ended_at or cycle.started_at,
        rows=cycle.experience.total,
        quarantined=cycle.experience.quarantined_rows,
        drifted=cycle.drift.drifted,
        decision=cycle.decision.action,
        reasons=[shorten(reason) for reason in cycle.decision.reasons[:MOST_LINES]],
        score=score_of(cycle),
        forgotten=describe_forgotten(cycle),
        verdict=cycle.verdict,
        refused_by=gate_lines(cycle, refused_only=True),
        champion=cycle.champion_after,
    )


def _unread_row(run: FinishedRun, error: Exception) -> TimelineRow:
    return TimelineRow(experience=shorten(run.experience), verdict=shorten(run.verdict), problem=shorten(error))
