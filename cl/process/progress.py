"""What this process is doing: named stages, and how far each has come.

The code that works opens stages and meters; who wants to show them installs a `Reporter`, as the command line does.
Without one nothing is shown, and `logging` at INFO names each stage as it begins and ends.

>>> with about("0002-april"), stage("predict"), meter(3, "rows") as rows:
...     rows.advance(2)
...     print(rows.done, rows.total)
2 3
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Meter:
    """How much of a known or unknown amount of work is done, in a unit such as ``rows``; ``total`` None: unknown."""

    total: int | None
    unit: str
    done: int = 0
    open: bool = True
    started: float = field(default_factory=time.monotonic)
    first: int = field(init=False)
    """What an earlier process had done: it says nothing about the speed of this one."""

    def __post_init__(self) -> None:
        self.first = self.done

    def advance(self, amount: int = 1) -> None:
        """Count more work as done; a reporter looks whenever it wants to."""
        self.done += amount

    def reach(self, done: int) -> None:
        """Set how much is done in all."""
        self.done = done

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest takes at the speed so far; None: nothing is known about that.

        >>> Meter(total=30, unit="rows", done=10, started=0.0).seconds_left(now=5.0) is None
        True
        """
        made = self.done - self.first
        if self.total is None or made <= 0:
            return None
        return max(0, self.total - self.done) * (now - self.started) / made


@dataclass(eq=False)
class Stage:
    """A stage of the work: its name, what it works on (or nothing), and its last meter, if it had one."""

    name: str
    subject: str = ""
    meter: Meter | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def title(self) -> str:
        """The subject and the name, as in ``0002-april: train``."""
        return f"{self.subject}: {self.name}" if self.subject else self.name

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started


class Reporter(Protocol):
    """Shows stages; its methods are called from whichever thread works. ``shows_amounts``: it shows meters, too."""

    shows_amounts: bool

    def begin(self, stage: Stage) -> None:
        """A stage begins, perhaps within another one."""

    def end(self, stage: Stage, *, failed: bool) -> None:
        """A stage that has begun ends."""

    def close(self) -> None:
        """Leave the terminal as it was, at any moment, because the process ends."""


_reporter: Reporter | None = None
_stages: list[Stage] = []
"""The open stages of this process, the innermost last: a meter may be opened in another thread than its stage."""
_subject: ContextVar[str] = ContextVar("subject", default="")


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Let a reporter show the stages of this process, in all its threads, during this block."""
    global _reporter
    before, _reporter = _reporter, reporter
    try:
        yield
    finally:
        _reporter = before
        reporter.close()


def shows_amounts() -> bool:
    """Return whether somebody sees how much there is to do, so that it is worth counting."""
    return _reporter is not None and _reporter.shows_amounts


def close_reporter() -> None:
    """Leave the terminal as it was, because the process ends without leaving its blocks."""
    if _reporter is not None:
        _reporter.close()


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Name what the stages of this block work on, such as an experience; inside another one, both are named."""
    outer = _subject.get()
    token = _subject.set(f"{outer}, {subject}" if outer else subject)
    try:
        yield
    finally:
        _subject.reset(token)


@contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Report the work in this block as a stage."""
    current = Stage(name, _subject.get())
    reporter, failed = _reporter, True
    log.info("%s", current.title)
    _stages.append(current)
    if reporter is not None:
        reporter.begin(current)
    try:
        yield current
        failed = False
        log.info("%s: took %.1f s", current.title, current.seconds)
    finally:
        _stages.remove(current)
        if reporter is not None:
            reporter.end(current, failed=failed)


@contextmanager
def meter(total: int | None, unit: str, *, done: int = 0) -> Iterator[Meter]:
    """Measure the work in this block, for the innermost stage.

    Inside another meter, work in the same unit counts for that one, and work in another unit is not shown: the rows of
    a validation pass are no steps of training.
    """
    current = _stages[-1] if _stages else None
    outer = current.meter if current and current.meter and current.meter.open else None
    if current is None:
        yield Meter(total, unit, done)
    elif outer is None:
        current.meter = own = Meter(total, unit, done)
        try:
            yield own
        finally:
            own.open = False
    else:
        yield outer if outer.unit == unit else Meter(total, unit, done)
