"""Show the stages of a command on standard error: a live line on a terminal, elsewhere a line for each stage."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from cl.process.progress import Meter, Stage, reporting
from cl.redaction import as_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

REFRESHES = 4
"""How often in a second the live line is drawn."""
BAR = 20
"""The width of the bar in columns."""
SECONDS_TO_CLOSE = 1.0
SHOW_CURSOR = "\x1b[?25h"


@contextlib.contextmanager
def showing_progress() -> Iterator[None]:
    """Show the stages of this block: live on a terminal that can move its cursor, in plain lines elsewhere."""
    with reporting(LiveProgress(sys.stderr) if is_terminal(sys.stderr) else ProgressLines()):
        yield


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class ProgressLines:
    """One plain line for each stage as it begins: the last one says what a log that ends was doing."""

    shows_amounts = False

    def begin(self, stage: Stage) -> None:
        """Write the stage's title; where nobody can read it, the work goes on."""
        with contextlib.suppress(OSError, ValueError):
            print(as_line(stage.title), file=sys.stderr or io.StringIO(), flush=True)

    def end(self, stage: Stage, *, failed: bool) -> None:
        """Write nothing: logs have times of their own."""

    def close(self) -> None:
        """Do nothing: there is no line to remove."""


class LiveProgress:
    """The innermost stage in one live line; a stage that ends leaves a short line with its time."""

    shows_amounts = True

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._stages: list[Stage] = []
        self._live: Live | None = None

    def begin(self, stage: Stage) -> None:
        """Show a stage in place of the one around it."""
        self._stages.append(stage)
        if self._live is None:
            self._live = self._start()

    def end(self, stage: Stage, *, failed: bool) -> None:
        """Leave a line, unless the stage has failed: the error has one of its own."""
        if stage in self._stages:
            self._stages.remove(stage)
        if self._live is None:
            return
        live = self._live
        if not self._stages:  # results are printed between stages: nothing must be in their way
            live.stop()
            self._live = None
        if not failed:
            line = f"{as_line(stage.title)}  {format_seconds(stage.seconds)}"
            live.console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the line, even if the thread that draws it is stuck."""
        live, self._live = self._live, None
        if live is None:
            return
        stopping = threading.Thread(target=live.stop, name="progress", daemon=True)
        stopping.start()
        stopping.join(SECONDS_TO_CLOSE)
        if stopping.is_alive():
            with contextlib.suppress(OSError, ValueError):
                self._terminal.write(f"\r\n{SHOW_CURSOR}")
                self._terminal.flush()

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            console=Console(file=self._terminal),
            get_renderable=self._line,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,  # which may be a file, and must get each byte as it is
        )
        live.start(refresh=True)
        return live

    def _line(self) -> RenderableType:
        return live_line(self._stages[-1]) if self._stages else ""


def live_line(stage: Stage) -> RenderableType:
    """Return one line: the stage, its time so far, and where that is known how much is done and how long it takes.

    On a narrow terminal, what the stage works on is cut first.
    """
    from rich.progress_bar import ProgressBar
    from rich.table import Column, Table
    from rich.text import Text

    meter, amount = stage.meter if stage.meter and stage.meter.open else None, ""
    bar: RenderableType = ""
    if meter is not None:
        amount = f"  {describe_amount(meter)}"
    if meter is not None and meter.total:
        bar = ProgressBar(total=meter.total, completed=meter.done, width=BAR)
    subject = Text(as_line(stage.subject), no_wrap=True, overflow="ellipsis")
    name = f"{': ' if stage.subject else ''}{as_line(stage.name)}  {format_seconds(stage.seconds)}  "
    line = Table.grid(Column(), Column(no_wrap=True), Column(width=BAR if bar else 0), Column(no_wrap=True))
    line.add_row(subject, Text(name), bar, Text(amount))
    return line


def describe_amount(meter: Meter) -> str:
    """Return how much is done, of how much, and how long the rest takes."""
    if not meter.total:
        return f"{meter.done:,} {meter.unit}"
    left = meter.seconds_left(time.monotonic())
    rest = "" if left is None else f", {format_seconds(left)} left"
    return f"{min(meter.done, meter.total):,}/{meter.total:,} {meter.unit}{rest}"


def format_seconds(seconds: float) -> str:
    """Return a duration, short.

    >>> format_seconds(3.14), format_seconds(75)
    ('3.1 s', '01:15')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds))).removeprefix("0:")
