"""A command on a terminal of its own, and what a person sees of it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@dataclass(frozen=True)
class Session:
    """How a command on a terminal ended, and all that it wrote there."""

    code: int
    written: str

    @property
    def screen(self) -> list[str]:
        """The lines that are left at the end, without colours; a line that was erased is not among them."""
        lines, row = [""], 0
        for part in re.split(r"(\r|\n|\x1b\[[0-9;?]*[A-Za-z])", self.written):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part == "\x1b[2K":
                lines[row] = ""
            elif part == "\x1b[1A":
                row -= 1
            elif part != "\r" and not CONTROL.fullmatch(part):
                lines[row] += part
        return [line.rstrip() for line in lines if line.strip()]


def on_terminal(
    *arguments: str, interrupt_at: str | None = None, stdout: Path | None = None, **environment: str
) -> Session:
    """Run a command whose standard error is a terminal of 80 columns, and its output too unless that goes to a file.

    Ctrl-C is typed as soon as ``interrupt_at`` is on the terminal.
    """
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with (stdout or Path(os.devnull)).open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "cl.cli", *arguments],
            stdin=theirs,
            stdout=file if stdout else theirs,
            stderr=theirs,
            env={**plain, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
            preexec_fn=_own_terminal,
        )
    os.close(theirs)
    written, waits = b"", interrupt_at is not None
    while part := _read(ours):
        written += part
        if waits and interrupt_at is not None and interrupt_at.encode() in written:
            os.write(ours, b"\x03")
            waits = False
    os.close(ours)
    return Session(process.wait(timeout=120), written.decode())


def _own_terminal() -> None:
    """Make standard input the terminal that Ctrl-C comes from, and hear it."""
    import fcntl
    import signal
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # all ends that wrote are closed
        return b""
