"""Everything a decision depends on besides the drift: waiting rows, past cycles and manual requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from cl.records import CycleOutline, Drift, Experience, Gain, LadderResult
from cl.records.history import History

NEWEST = 200
"""Cycles that are looked at in any case."""


@dataclass(frozen=True)
class Situation:
    """Everything a decision depends on besides the drift.

    Attributes:
        waiting_rows: training rows of this experience and of the waiting experiences before it.
        first: there is no champion yet.
        alarms: the detectors that triggered each of the last consecutive drift updates, newest first.
        rungs: the rungs at which those updates were learned.
        hours: hours since the last promotion.
        spent: hours of training within the budget's days.
        asked: a person has requested this experience, which overrides cost limits and the cool-down.
        postponed: alarms since the last update that a bound has postponed; their rows still wait to be learned.
        testable: there are test rows to judge an update by.
        forgotten: experiences that lost rows from which the champion's weights have learned.
        corrected: rows that the champion has learned and that were corrected since.
        climbs: the ladder results of the updates so far.
        gain: what an update would gain, if it was estimated.
        described: descriptions of labels among the waiting rows that the champion has not learned.
        relearned: descriptions of labels among the waiting rows that it has learned, and that are learned again.
        unmeasured: the champion has learned descriptions of labels and nothing else.
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
    corrected: int = 0
    climbs: tuple[LadderResult, ...] = ()
    gain: Gain | None = None
    described: int = 0
    relearned: int = 0
    unmeasured: bool = False

    @property
    def labelled(self) -> int:
        """The waiting training rows that are no descriptions."""
        return self.waiting_rows - self.described - self.relearned


def assess_situation(
    past: Iterable[CycleOutline],
    waiting: Sequence[Experience],
    *,
    champion: History,
    first: bool,
    now: datetime,
    budget_days: int = 30,
    asked: bool = False,
    corrected: int = 0,
    unmeasured: bool = False,
) -> Situation:
    """Summarise the past cycles and the waiting experiences for a decision.

    Only a cycle without an alarm ends a series of updates: an alarm that was held or postponed in between is not
    resolved. Of the past, the cycles of the budget's days count, and at least the newest `NEWEST`.

    Args:
        past: the finished cycles, newest first.
        waiting: the experiences that an update would learn.
        champion: the serving version's history.
        first: there is no champion yet.
        now: the time of the decision.
        budget_days: days over which training hours are summed.
        asked: a person has requested this experience.
        corrected: rows that the champion has learned and that were corrected since.
        unmeasured: the champion has learned descriptions of labels and nothing else.
    """
    recent = _recent(past, now - timedelta(days=budget_days))
    alarms, rungs = [], []
    descriptions = [experience for experience in waiting if experience.describes_labels]
    for cycle in takewhile(lambda cycle: alarming_detectors([cycle.drift]), recent):
        if cycle.trained:
            alarms.append(alarming_detectors([cycle.drift]))
            rungs.append(cycle.rung)
    promotions = [cycle.ended_at for cycle in recent if cycle.verdict == "promoted"]
    in_budget = [cycle for cycle in recent if cycle.trained and now - cycle.started_at <= timedelta(days=budget_days)]
    return Situation(
        waiting_rows=sum(experience.rows["train"] for experience in waiting),
        first=first,
        alarms=tuple(alarms),
        rungs=tuple(rungs),
        hours=max(0.0, (now - max(promotions)) / timedelta(hours=1)) if promotions else None,  # a clock may step back
        spent=sum(cycle.training_seconds for cycle in in_budget) / 3_600,
        asked=asked,
        postponed=_postponed_alarms(recent),
        testable=(bool(champion.learnt) and not unmeasured) or any(experience.rows["test"] for experience in waiting),
        forgotten=tuple(champion.residual_experiences),
        corrected=corrected,
        climbs=tuple(cycle.climb for cycle in reversed(recent) if cycle.climb),
        described=sum(record.rows["train"] for record in descriptions if record.id not in champion.learnt),
        relearned=sum(record.rows["train"] for record in descriptions if record.id in champion.learnt),
        unmeasured=unmeasured,
    )


def _recent(past: Iterable[CycleOutline], since: datetime) -> list[CycleOutline]:
    """Return the cycles that count, newest first."""
    recent = list[CycleOutline]()
    for cycle in past:
        if len(recent) >= NEWEST and cycle.started_at < since:
            break
        recent.append(cycle)
    return recent


def _postponed_alarms(recent: Sequence[CycleOutline]) -> tuple[Drift, ...]:
    """Return the postponed alarms since the last update, oldest first.

    An update learns all waiting rows, so it answers their alarms even if a gate refuses it.
    """
    since_update = list(takewhile(lambda cycle: not cycle.trained, recent))
    latest = {cycle.experience: cycle for cycle in reversed(since_update)}
    return tuple(cycle.drift for cycle in latest.values() if cycle.postponed and cycle.drift.drifted)


def alarming_detectors(drifts: Iterable[Drift]) -> frozenset[str]:
    """Return the detectors that raised an alarm in any of the drift checks."""
    return frozenset(finding.detector for drift in drifts for finding in drift.findings if finding.drifted)
