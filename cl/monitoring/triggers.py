"""Results of drift checks, whether they ask for a cycle, and whether to start a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cl.config import Asking, TriggerSettings
from cl.records import Cycle, Drift, Experience, Record

GRAVEST_FIRST: tuple[Asking, ...] = ("performance", "drift", "arrival")
EVENTS: dict[Asking, str] = {
    "performance": "cl.performance.decayed",
    "drift": "cl.drift.detected",
    "arrival": "cl.data.arrived",
}
"""The event name of each trigger reason."""


class DriftCheck(Record):
    """The result of the drift check on one experience that waits for its cycle."""

    cycle: str
    experience: Experience
    champion: str | None
    drift: Drift
    asks: Asking

    @property
    def event(self) -> str:
        """The event name of this drift check."""
        return EVENTS[self.asks]


class TrafficCheck(Record):
    """The result of the drift check on unlabelled answers since the previous check."""

    champion: str
    since: str
    until: str
    rows: int
    drift: Drift

    @property
    def id(self) -> str:
        """The id of this drift check."""
        return self.drift.experience

    @property
    def total(self) -> int:
        """The number of rows checked."""
        return self.rows

    @property
    def event(self) -> str:
        """The event name of an alarm."""
        return EVENTS[trigger_reason(self.drift, ["performance", "drift"])]


class RequestedRun(Record):
    """A requested run of the learning flow."""

    id: str
    cycle: str | None
    again: str | None
    state: Literal["waiting", "working", "failed", "ended"]


def drift_check_of(cycle: Cycle, bounds: TriggerSettings) -> DriftCheck:
    """Return the drift check that a finished cycle began with."""
    return DriftCheck(
        cycle=cycle.id,
        experience=cycle.experience,
        champion=cycle.champion_before,
        drift=cycle.drift,
        asks=trigger_reason(cycle.drift, bounds.learn_on),
    )


def trigger_reason(drift: Drift, wanted: Sequence[Asking]) -> Asking:
    """Return why a drift check asks for a cycle: the gravest reason in ``wanted``, or else the gravest of all."""
    alarms = {finding.kind for finding in drift.findings if finding.drifted}
    holds: dict[Asking, bool] = {
        "performance": "performance" in alarms,
        "drift": bool(alarms - {"performance"}),
        "arrival": True,
    }
    reasons = [reason for reason in GRAVEST_FIRST if holds[reason]]
    return next((reason for reason in reasons if reason in wanted), reasons[0])


def next_trigger(
    checks: Sequence[DriftCheck], runs: Sequence[RequestedRun], bounds: TriggerSettings
) -> DriftCheck | None:
    """Return the drift check for which the learning flow must start now, or None.

    Return None while a run waits or works, as it processes everything that is due. Drift checks repeat until a cycle
    has ended, so a lost event loses nothing. If the oldest cycle has failed too often, all cycles wait for a person.

    Args:
        checks: the drift checks of waiting experiences, oldest first.
        runs: the recent runs.
        bounds: what may start the flow, and how often it may fail.
    """
    busy = any(run.state in ("waiting", "working") for run in runs)
    if busy or attempts_exhausted(checks, runs, bounds) is not None:
        return None
    eligible = [check for check in checks if check.asks in bounds.learn_on]
    return min(eligible, key=lambda check: GRAVEST_FIRST.index(check.asks), default=None)


def attempts_exhausted(
    checks: Sequence[DriftCheck], runs: Sequence[RequestedRun], bounds: TriggerSettings
) -> DriftCheck | None:
    """Return the oldest drift check if its cycle has failed too often and needs a person, or None.

    A run processes the oldest experience first and stops at a failure, so while this one fails no other is reached.
    """
    failed = sum(bool(checks) and run.state == "failed" and run.cycle == checks[0].cycle for run in runs)
    return checks[0] if checks and failed >= bounds.attempts else None


def absorbed_requests(queued: Sequence[RequestedRun], again: str | None) -> list[RequestedRun]:
    """Return the queued runs that a starting run makes redundant.

    A run without ``again`` processes everything that is due, so it absorbs all queued runs except those that retry one
    experience; a run with ``again`` retries that experience and absorbs nothing.
    """
    return [] if again else [run for run in queued if not run.again]


def request_key(runs: Sequence[RequestedRun], again: str | None) -> str:
    """Return the idempotency key of a manual request: the experience to retry and the last run that has begun.

    A run that has not begun will see everything, so all requests before it begins are the same request; a later one is
    a new request. New data or a promotion between two requests does not change the key.
    """
    last_begun = next((run.id for run in runs if run.state != "waiting"), "")
    return f"after {last_begun}" if again is None else f"{again} again, after {last_begun}"
