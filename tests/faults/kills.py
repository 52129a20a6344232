"""Kills: at a boundary, at the nth write, or after some time, as a power cut does it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from tests.faults.deeds import KillItself
from tests.faults.moments import WRITE, Moment
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt

AT_BOUNDARY = "SIGKILL at a step boundary"
AT_WRITE = "SIGKILL at a random write to the disk"
AT_TIME = "SIGKILL at a random moment"
TWICE = "SIGKILL, and again while the next run recovers"
LAST = 4
"""Writes at the end of a run that no kill is drawn from: a run may make fewer than the one that was watched.

Seen once, on a full machine: two fewer. The last ones are those of `Stores.remember_finished` and `Journal.close`,
which are boundaries that a run is killed at anyway.
"""


def boundaries(prepared: Prepared) -> list[Moment]:
    """Return all moments before and after a boundary that a cycle passes."""
    return [one for one in prepared.moments if one.boundary != WRITE]


def writes(prepared: Prepared) -> list[Moment]:
    """Return the writes of a cycle that every run comes to."""
    return [one for one in prepared.moments if one.boundary == WRITE][:-LAST]


def at_moment(prepared: Prepared, moment: Moment) -> Attempt:
    """Kill a run at a moment."""

    def inject() -> list[str]:
        return _killed(prepared, moment)

    fault = AT_WRITE if moment.boundary == WRITE else AT_BOUNDARY
    return Attempt(prepared, fault, str(moment), inject)


def at_writes(prepared: Prepared, times: int, seed: int) -> Iterable[Attempt]:
    """Kill as many runs, each before another write; of one seed, fewer are the first of many."""
    drawn = writes(prepared)
    random.Random(seed).shuffle(drawn)
    for moment in drawn[:times]:
        yield at_moment(prepared, moment)


def at_times(prepared: Prepared, times: int, seed: int) -> Iterable[Attempt]:
    """Kill as many runs from outside, each after another share of the time that an undisturbed one takes."""
    drawn = random.Random(seed)
    for _ in range(times):
        seconds = drawn.uniform(0.02, 0.95) * prepared.seconds

        def inject(seconds: float = seconds) -> list[str]:
            run = prepared.start("run", "--plain")
            time.sleep(seconds)
            run.kill()
            ended = run.end()
            return [] if ended.killed or ended.code == 0 else [f"ended with {ended.code}: {ended.err[-300:]}"]

        yield Attempt(prepared, AT_TIME, f"after {seconds:.2f} s", inject)


def again_and_again(prepared: Prepared, times: int, seed: int) -> Iterable[Attempt]:
    """Kill as many runs, and the two that were to put each right as well."""
    drawn = random.Random(seed)
    for _ in range(times):
        moments = sorted(drawn.sample(writes(prepared), 3), key=lambda one: one.nth, reverse=True)

        def inject(moments: list[Moment] = moments) -> list[str]:
            first, *others = moments
            wrong = _killed(prepared, first)
            for moment in others:  # a run that goes on writes less: it may end before it comes to be killed
                ended = prepared.run(before=KillItself(moment, prepared.place))
                wrong += [] if ended.killed or ended.code == 0 else [f"ended with {ended.code}: {ended.err[-300:]}"]
            return wrong

        yield Attempt(prepared, TWICE, ", ".join(str(one) for one in moments), inject)


def _killed(prepared: Prepared, moment: Moment) -> list[str]:
    ended = prepared.run(before=KillItself(moment, prepared.place))
    return [] if ended.killed else [f"was not killed, ended with {ended.code}: {ended.err[-300:]}"]
