"""What is done to a process from inside: picklable, for the process is another one."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.moments import BOUNDARIES, WRITE, Moment, watch, watch_writes


@dataclass(frozen=True)
class Trace:
    """Write down every moment that the process passes, one a line: boundaries, and writes below a folder."""

    file: Path
    project: Path
    boundaries: tuple[str, ...] = BOUNDARIES

    def __call__(self) -> None:
        def note(moment: Moment) -> None:
            with self.file.open("a") as file:
                file.write(f"{moment.boundary}\t{moment.nth}\t{moment.when}\n")

        watch(note, self.boundaries)
        watch_writes(self.project, note)

    def read(self) -> list[Moment]:
        """Return the moments, in their order."""
        parts = [line.split("\t") for line in self.file.read_text().splitlines()]
        return [Moment(name, int(nth), "before" if when == "before" else "after") for name, nth, when in parts]


@dataclass(frozen=True)
class At:
    """Do something when a moment comes."""

    moment: Moment
    project: Path
    boundaries: tuple[str, ...] = field(default=BOUNDARIES, kw_only=True)

    def __call__(self) -> None:
        def reached(moment: Moment) -> None:
            if moment == self.moment:
                self.do()

        if self.moment.boundary == WRITE:
            watch_writes(self.project, reached)
        else:
            watch(reached, self.boundaries)

    def do(self) -> Any:
        """Do it."""
        raise NotImplementedError


@dataclass(frozen=True)
class KillItself(At):
    """End the process as a power cut would end it."""

    def do(self) -> None:
        """Send SIGKILL."""
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class KillAnother(At):
    """End another process group."""

    group: int
    how: int = signal.SIGKILL

    def do(self) -> None:
        """Send the signal to all of it."""
        os.killpg(self.group, self.how)


@dataclass(frozen=True)
class Hold(At):
    """Let another process hold something against all others, for some seconds or until it is released.

    ``code`` is its program; it gets ``what``, the seconds and the file ``holding``, and says "held" when it does.
    """

    code: str
    what: tuple[str, ...]
    seconds: float
    holding: Path

    def release(self) -> None:
        """Let the other process let go."""
        self.holding.unlink(missing_ok=True)

    def do(self) -> None:
        """Return as soon as it holds it."""
        self.holding.touch()
        command = [sys.executable, "-c", self.code, *self.what, str(self.seconds), str(self.holding)]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"


@dataclass(frozen=True)
class Impatient:
    """Let the process wait only some seconds for a lock, and do something else to it as well."""

    seconds: int
    then: At

    def __call__(self) -> None:
        from cl.stores import connectivity

        assert self.seconds < connectivity.LOCK_SECONDS
        connectivity.LOCK_SECONDS = self.seconds
        self.then()


@dataclass(frozen=True)
class LimitFiles:
    """Let no file of the process grow beyond some bytes: a disk that is full, without a disk."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))
