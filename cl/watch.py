"""A look at what waits, without training: what has arrived, whether it has drifted, and whether to ask for a cycle."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from cl import config as configuration
from cl.config import Config
from cl.lifecycle import Step, begin, due, look, read_source
from cl.promote import repair
from cl.records import Cycle, Drift, Experience, Record
from cl.settings import Asking, Triggers
from cl.stores.connect import Stores, connect
from cl.stores.journal import plainly
from cl.stores.local import Project

GRAVEST_FIRST: tuple[Asking, ...] = ("performance", "drift", "arrival")
EVENTS: dict[Asking, str] = {
    "performance": "cl.performance.decayed",
    "drift": "cl.drift.detected",
    "arrival": "cl.data.arrived",
}
"""The name of the event that each of them is."""


class Look(Record):
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


class Asked(Record):
    """A run of the learning flow that somebody has asked for."""

    id: str
    cycle: str | None
    again: str | None
    state: Literal["waiting", "working", "failed", "ended"]


def watch(project: Project, *, step: Step = plainly) -> list[Look]:
    """Read the configured source, look at every experience that waits, oldest first, and return what was seen.

    Raises:
        BusyError: a cycle works on this project; what waits goes on waiting.
        PerennialError: the source or a store cannot be read.
    """
    config = configuration.load(project.config)
    stores = connect(project, config)
    with project.lock():
        stores.registry.initialise()
        repair(stores.registry, stores.ledger)
        read_source(config, stores, settle=config.triggers.settle_seconds)
        return [look_at(config, stores, one, step=step) for one in due(stores)]


def look_at(config: Config, stores: Stores, experience: Experience, *, step: Step = plainly) -> Look:
    """Look at one experience as its cycle will; the finding stays in the cycle's journal."""
    start = begin(config, stores, experience)
    seen = look(config, stores, start, stores.champion_folder(start.champion), step=step)
    return Look(
        cycle=start.id,
        experience=experience,
        champion=start.champion,
        drift=seen,
        asks=asking(seen, config.triggers.learn_on),
    )


def seen_by(cycle: Cycle, bounds: Triggers) -> Look:
    """Return the look that a finished cycle began with."""
    return Look(
        cycle=cycle.id,
        experience=cycle.experience,
        champion=cycle.champion_before,
        drift=cycle.drift,
        asks=asking(cycle.drift, bounds.learn_on),
    )


def asking(seen: Drift, wanted: Sequence[Asking]) -> Asking:
    """Return as what a look asks for a cycle: the gravest reason that starts one, or the gravest there is."""
    alarms = {finding.kind for finding in seen.findings if finding.drifted}
    holds: dict[Asking, bool] = {
        "performance": "performance" in alarms,
        "drift": bool(alarms - {"performance"}),
        "arrival": True,
    }
    there = [one for one in GRAVEST_FIRST if holds[one]]
    return next((one for one in there if one in wanted), there[0])


def to_ask(looks: Sequence[Look], asked: Sequence[Asked], bounds: Triggers) -> Look | None:
    """Return the look for which the learning flow must be started now, or None.

    None while a run waits or works: it takes all that is due. A look is repeated until a cycle has ended, so nothing
    is lost when an event is; a cycle that has failed too often is left to a person.
    """
    if any(one.state in ("waiting", "working") for one in asked):
        return None
    failures = Counter(one.cycle for one in asked if one.state == "failed")
    able = [one for one in looks if one.asks in bounds.learn_on and failures[one.cycle] < bounds.attempts]
    return min(able, key=lambda one: GRAVEST_FIRST.index(one.asks), default=None)


def identity(config: Config, stores: Stores, again: str | None, asked: Sequence[Asked]) -> str:
    """Return what makes a request by hand the same as another: the cycles it would run, and the run it comes after.

    Asked twice before the next run starts, it is one request; asked again after that, it is another.
    """
    champion = stores.ledger.champion(config.name) or ""
    waiting = [again] if again else [one.id for one in due(stores)]
    before = next((one.id for one in asked if one.state != "waiting"), "")
    parts = [config.digest, stores.data.current() or "", champion, *waiting, before]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
