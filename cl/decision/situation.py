"""What a decision rests on beside the drift: what waits, what the last cycles did, what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from cl.records import Cycle, Drift, Experience, LadderResult
from cl.records.history import History


@dataclass(frozen=True)
class Situation:
    """What a decision rests on besides the drift.

    ``waiting_rows`` are training rows of this experience and of the quiet ones before it; ``alarms`` the detectors
    behind the last updates in a row that drift asked for, newest first, ``rungs`` those they were learnt at; ``hours``
    have passed since the last promotion; ``spent`` are hours of training within the days of the budget. ``asked``: a
    person has asked for this very experience, whose word counts for more than cost and caution. ``postponed`` are the
    alarms since the last update that a bound has put off: their rows wait, and they still ask to be learnt.
    ``forgotten`` are experiences that lost rows which the champion's weights have learnt from.
    ``testable``: some row that an update would be judged by is a test row. ``climbs`` are those of the updates so far.
    """

    waiting_rows: int
    first: bool = False
    alarms: tuple[frozenset[str], ...] = ()
    rungs: tuple[str | None, ...] = ()
    hours: float | None = None
    spent: float = 0.0
    asked: bool = False
    postponed: tuple[Drift, ...] = ()
    testable: bool = True
    forgotten: tuple[str, ...] = ()
    climbs: tuple[LadderResult, ...] = ()


def assess_situation(
    past: Sequence[Cycle],
    waiting: Sequence[Experience],
    *,
    champion: History,
    first: bool,
    now: datetime,
    budget_days: int = 30,
    asked: bool = False,
) -> Situation:
    """Read off the cycles so far, oldest first, what a decision must know of them.

    Only a quiet cycle ends a row of updates: an alarm that was held or put off in between has not fallen silent.

    Args:
        past: the finished cycles, oldest first.
        waiting: the experiences that an update would learn.
        champion: what the version that serves knows.
        first: there is no champion.
        now: the moment of the decision.
        budget_days: of training hours.
        asked: a person has asked for this very experience.
    """
    alarms, rungs = [], []
    for cycle in reversed(past):
        loud = alarming_detectors([cycle.drift])
        if not loud:
            break
        if cycle.training is None:
            continue
        alarms.append(loud)
        rungs.append(cycle.rung)
    ends = [
        cycle.ended_at or cycle.started_at + timedelta(seconds=cycle.seconds)
        for cycle in past
        if cycle.verdict == "promoted"
    ]
    lately = [cycle for cycle in past if cycle.training and now - cycle.started_at <= timedelta(days=budget_days)]
    return Situation(
        waiting_rows=sum(experience.rows["train"] for experience in waiting),
        first=first,
        alarms=tuple(alarms),
        rungs=tuple(rungs),
        hours=(now - max(ends)) / timedelta(hours=1) if ends else None,
        spent=sum(cycle.training_seconds for cycle in lately) / 3_600,
        asked=asked,
        postponed=_postponed(past),
        testable=bool(champion.learnt) or any(experience.rows["test"] for experience in waiting),
        forgotten=tuple(champion.residual_experiences),
        climbs=tuple(cycle.climb for cycle in past if cycle.climb),
    )


def _postponed(past: Sequence[Cycle]) -> tuple[Drift, ...]:
    """Return the alarms since the last update that a bound has put off, oldest first.

    An update takes all rows that wait, so it answers them, even where a gate refuses it: its rows had their chance.
    """
    since = list(takewhile(lambda cycle: cycle.training is None, reversed(past)))
    last = {cycle.experience.id: cycle for cycle in reversed(since)}
    return tuple(cycle.drift for cycle in last.values() if cycle.decision.postponed and cycle.drift.drifted)


def alarming_detectors(drifts: Iterable[Drift]) -> frozenset[str]:
    """Return the detectors behind alarms."""
    return frozenset(finding.detector for drift in drifts for finding in drift.findings if finding.drifted)
