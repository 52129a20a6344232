"""What a command reports of its stages."""

from __future__ import annotations

import re

from cl.process.progress import Stage


class RecordedStages:
    """The titles of stages in the order in which they began, and each one's last meter as it was closed."""

    shows_amounts = True

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.amounts: list[tuple[int, int | None, str] | None] = []
        self.failed: list[str] = []
        self._open: list[Stage] = []

    def begin(self, stage: Stage) -> None:
        self.titles.append(stage.title)
        self._open.append(stage)

    def end(self, stage: Stage, *, failed: bool) -> None:
        self._open.remove(stage)
        meter = stage.meter
        self.amounts.append(None if meter is None else (meter.done, meter.total, meter.unit))
        if failed:
            self.failed.append(stage.title)

    def close(self) -> None:
        assert not self._open


STAGE = re.compile(r"(?!cl: )(\d{4}-[^:]+: )?[a-z][^:]*")
"""How a line about a stage reads: `0002-april: train`. No error, warning or traceback does."""


def without_stages(said: str) -> list[str]:
    """Return the lines of standard error that are about no stage."""
    return [line for line in said.splitlines() if not STAGE.fullmatch(line)]
