"""What a look has seen, whether it asks for a cycle, and whether a run must be started for it."""

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
"""The name of the event that each of them is."""


class DriftCheck(Record):
    """What was seen of one experience that waits for its cycle."""

    cycle: str
    experience: Experience
    champion: str | None
    drift: Drift
    asks: Asking

    @property
    def event(self) -> str:
        """The name of the event that this look is."""
        return EVENTS[self.asks]


class TrafficCheck(Record):
    """What was seen of answers whose labels have not come, between two looks."""

    champion: str
    since: str
    until: str
    rows: int
    drift: Drift

    @property
    def id(self) -> str:
        """What this look is called."""
        return self.drift.experience

    @property
    def total(self) -> int:
        """Rows that were looked at."""
        return self.rows

    @property
    def event(self) -> str:
        """The name of the event that an alarm is."""
        return EVENTS[trigger_reason(self.drift, ["performance", "drift"])]


class RequestedRun(Record):
    """A run of the learning flow that somebody has asked for."""

    id: str
    cycle: str | None
    again: str | None
    state: Literal["waiting", "working", "failed", "ended"]


def findings_of(cycle: Cycle, bounds: TriggerSettings) -> DriftCheck:
    """Return the look that a finished cycle began with."""
    return DriftCheck(
        cycle=cycle.id,
        experience=cycle.experience,
        champion=cycle.champion_before,
        drift=cycle.drift,
        asks=trigger_reason(cycle.drift, bounds.learn_on),
    )


def trigger_reason(seen: Drift, wanted: Sequence[Asking]) -> Asking:
    """Return as what a look asks for a cycle: the gravest reason that starts one, or the gravest there is."""
    alarms = {finding.kind for finding in seen.findings if finding.drifted}
    holds: dict[Asking, bool] = {
        "performance": "performance" in alarms,
        "drift": bool(alarms - {"performance"}),
        "arrival": True,
    }
    there = [one for one in GRAVEST_FIRST if holds[one]]
    return next((one for one in there if one in wanted), there[0])


def next_trigger(
    looks: Sequence[DriftCheck], asked: Sequence[RequestedRun], bounds: TriggerSettings
) -> DriftCheck | None:
    """Return the look for which the learning flow must be started now, or None.

    None while a run waits or works: it takes all that is due. A look is repeated until a cycle has ended, so nothing
    is lost when an event is; where the oldest cycle has failed too often, all wait for a person.

    Args:
        looks: what waits, the oldest first.
        asked: the recent runs.
        bounds: what may start the flow, and how often it may fail.
    """
    busy = any(one.state in ("waiting", "working") for one in asked)
    if busy or attempts_exhausted(looks, asked, bounds) is not None:
        return None
    able = [one for one in looks if one.asks in bounds.learn_on]
    return min(able, key=lambda one: GRAVEST_FIRST.index(one.asks), default=None)


def attempts_exhausted(
    looks: Sequence[DriftCheck], asked: Sequence[RequestedRun], bounds: TriggerSettings
) -> DriftCheck | None:
    """Return the oldest look, if runs that began with its cycle have failed too often: a person must see to it.

    A run takes the oldest first and stops where it fails, so while this one fails no other can be reached.
    """
    failed = sum(bool(looks) and one.state == "failed" and one.cycle == looks[0].cycle for one in asked)
    return looks[0] if looks and failed >= bounds.attempts else None


def absorbed_requests(queued: Sequence[RequestedRun], again: str | None) -> list[RequestedRun]:
    """Return the queued runs that a run does beside what it was started for.

    A run without ``again`` takes all that is due, so it does all but those that try one experience once more; a run
    with ``again`` does that one experience and nothing else.
    """
    return [] if again else [one for one in queued if not one.again]


def request_key(asked: Sequence[RequestedRun], again: str | None) -> str:
    """Return what makes a request by hand the same as another: what is to be tried again, and the run it comes after.

    A run that has not begun will see all there is, so whoever asks before that has asked for the same; asked after
    that, it is another request. What arrives between two requests, or who is promoted, changes nothing in it.
    """
    begun = next((one.id for one in asked if one.state != "waiting"), "")
    return f"after {begun}" if again is None else f"{again} again, after {begun}"
