"""The command line in processes that start in no time: forked from one that has imported everything, then left alone.

A command is a whole process of its own, and a fresh one costs up to ten seconds of imports; a fork of a warm process
costs none. The warm one has opened no store and run no model: nothing of it can leak into a child. What a fresh
process imports when, and how soon it answers, is tested by those that start one: `tests/contract/test_architecture.py`,
`tests/e2e/test_demo.py` and all that serve.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.stages import without_stages

WARM = get_context("forkserver")
WARM.set_forkserver_preload(["tests.support.warm_imports"])


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal that killed it), its output, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was killed with SIGKILL."""
        return self.code == -signal.SIGKILL

    @property
    def is_one_line(self) -> bool:
        """Whether it said what went wrong as a user should read it: one line, no traceback."""
        lines = without_stages(self.err)
        return len(lines) == 1 and lines[0].startswith("cl: ")


@dataclass(frozen=True)
class Running:
    """A process that works."""

    process: BaseProcess
    said: Path
    started: float

    def kill(self) -> None:
        """Kill it with SIGKILL, if it is still there."""
        self.process.kill()

    def end(self, seconds: float = 300.0) -> Ended:
        """Wait until it ends, and say how."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"a process did not end within {seconds:g} s: {_read(self.said, 'err')}")
        took = time.monotonic() - self.started
        code = self.process.exitcode
        assert code is not None
        return Ended(code=code, out=_read(self.said, "out"), err=_read(self.said, "err"), seconds=took)


@dataclass(frozen=True)
class Asked:
    """A process that calls a function."""

    process: BaseProcess
    answer: Connection
    said: Path
    function: str

    def result(self) -> Any:
        """Wait for what the function returns.

        Raises:
            RuntimeError: it raised, or the process ended before.
        """
        try:
            return self.answer.recv()
        except EOFError:
            raise RuntimeError(f"{self.function} failed: {_read(self.said, 'err')}") from None
        finally:
            self.process.join()


def start(said: Path, before: Callable[[], Any], *arguments: str) -> Running:
    """Start `cl` with some arguments in a warm process.

    Args:
        said: where its output goes; the folder is made.
        before: called in the process before the command: what shall go wrong there. It must be picklable.
        arguments: of the command line.
    """
    said.mkdir(parents=True, exist_ok=True)
    forkserver.ensure_running()
    address = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
    process = WARM.Process(target=_command, args=(str(said), address, before, arguments))
    started = time.monotonic()
    process.start()
    return Running(process, said, started)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `cl` to its end in a warm process, in this one's folder and environment, to which more may be added."""
    with tempfile.TemporaryDirectory() as said:
        surroundings = functools.partial(_surround, str(Path.cwd()), {**os.environ, **environment})
        ended = start(Path(said), surroundings, *arguments).end(3600)
    return subprocess.CompletedProcess(["cl", *arguments], ended.code, ended.out, ended.err)


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as ``python -c`` does, but in a warm process: what it imports is there already."""
    with tempfile.TemporaryDirectory() as said:
        surroundings = (str(Path.cwd()), {**os.environ, **environment})
        process = WARM.Process(target=_program, args=(said, surroundings, code, arguments))
        process.start()
        process.join()
        assert process.exitcode is not None
        out, err = _read(Path(said), "out"), _read(Path(said), "err")
    return subprocess.CompletedProcess(["-c", *arguments], process.exitcode, out, err)


def _surround(folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)


def nothing() -> None:
    """Let nothing go wrong."""


def modules() -> set[str]:
    """Return the names of all modules that are imported."""
    return set(sys.modules)


def call(said: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns that is called in a warm process; both ends must be picklable."""
    return ask(said, function, *arguments).result()


def ask(said: Path, function: Callable[..., Any], *arguments: Any) -> Asked:
    """Call a function in a warm process, and do not wait for it.

    Start several from one thread: two threads that look whether a process has ended take its exit code from each other.
    """
    said.mkdir(parents=True, exist_ok=True)
    here, there = WARM.Pipe(duplex=False)
    process = WARM.Process(target=_called, args=(str(said), there, function, arguments))
    process.start()
    there.close()
    return Asked(process, here, said, function.__name__)


def _command(said: str, address: str, before: Callable[[], Any], arguments: tuple[str, ...]) -> None:
    _redirect(Path(said))
    server = forkserver._forkserver  # type: ignore[attr-defined]
    # what it forks comes from the warm one, too
    server._forkserver_address, server.ensure_running = address, nothing  # type: ignore[attr-defined]
    sys.argv = ["cl", *arguments]
    from cl.cli.main import main

    before()
    try:
        main()
    finally:  # a forked process leaves these out: what a command has started, such as Prefect's server, would go on
        atexit._run_exitfuncs()


def _program(said: str, surroundings: tuple[str, dict[str, str]], code: str, arguments: tuple[str, ...]) -> None:
    _redirect(Path(said))
    _surround(*surroundings)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})


def _called(said: str, answer: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    _redirect(Path(said))
    answer.send(function(*arguments))


def _redirect(said: Path) -> None:
    """Forget what the warm process has planned for its own end; let all output, also of libraries, go into files."""
    atexit._clear()
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  # it lives as long as the process
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _read(said: Path, name: str) -> str:
    return (said / name).read_text(errors="replace") if (said / name).exists() else ""
