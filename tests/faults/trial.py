"""One fault, and what comes after it: the checks are the same whatever went wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.faults.alias import watched
from tests.faults.invariants import broken
from tests.faults.prepared import Prepared
from tests.support.warm import Ended


@dataclass(frozen=True)
class Trial:
    """A fault that was injected: what was wrong afterwards, and how many seconds the next run took to put it right."""

    fault: str
    where: str
    wrong: list[str]
    recovery: float

    def __str__(self) -> str:
        told = "; ".join(self.wrong) or "well"
        return f"{self.fault}, {self.where}: {told} ({self.recovery:.1f} s)"


@dataclass(frozen=True)
class Attempt:
    """A fault that is still to be injected.

    Attributes:
        prepared: the project.
        fault: its line in the table.
        where: which of its kind.
        inject: runs what goes wrong, and returns what was wrong about how it went.
        mend: takes away what a next run cannot be expected to cope with: a full disk has room again.
        alike: returns in what the project differs in the end from an undisturbed one.
        again: the command that is to put it right.
        around: what surrounds it all.
        damages: the fault itself is that the champion's files are not whole.
    """

    prepared: Prepared
    fault: str
    where: str
    inject: Callable[[], list[str]]
    mend: Callable[[], None] = lambda: None
    alike: Callable[[Prepared], list[str]] = lambda prepared: prepared.unlike_undisturbed()
    again: Callable[[Prepared], Ended] = lambda prepared: prepared.run()
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    damages: bool = False

    def made(self) -> Trial:
        """Inject it into a fresh copy of the project, check, run once more, and compare with an undisturbed one."""
        with self.around():
            return self._made()

    def _made(self) -> Trial:
        prepared = self.prepared
        prepared.put_back()
        wrong = self._injected() if self.damages else []
        with watched(prepared.database, prepared.artifacts) as seen:
            wrong += [] if self.damages else self._injected()
            wrong += _told(lambda: broken(prepared.state(), prepared.rows))
            again = self.again(prepared)
        if again.code != 0 or "Traceback" in again.err:
            wrong.append(f"the next run ended with {again.code}: {again.err[-600:]}")
        return Trial(self.fault, self.where, [*wrong, *_told(lambda: self.alike(prepared)), *seen], again.seconds)

    def _injected(self) -> list[str]:
        wrong = self.inject()
        self.mend()
        return wrong


def _told(check: Callable[[], list[str]]) -> list[str]:
    """Return what a check finds, or that it could not look."""
    try:
        return check()
    except RuntimeError as error:
        return [str(error)[-600:]]
