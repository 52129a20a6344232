"""What came of the trials, a line of JSON each: kept as each ends, so that what is interrupted can go on."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.trial import Attempt, Trial


class Results:
    """The trials in a file, or of this process alone where there is none.

    An attempt is known by its kind, its place among those, and what they were drawn by.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._made: set[tuple[str, int, str]] = set()
        self.trials: list[Trial] = []
        if file is not None and file.exists():
            text = file.read_text()
            if (whole := text[: text.rfind("\n") + 1]) != text:
                file.write_text(whole)  # the last line was cut off
            for line in whole.splitlines():
                self._keep(json.loads(line))

    def has(self, kind: str, number: int, drawn: str) -> bool:
        """Tell whether an attempt was made."""
        return (kind, number, drawn) in self._made

    def made(self, kind: str, number: int, drawn: str, attempt: Attempt) -> Trial:
        """Make an attempt, keep what came of it, and return that."""
        began = time.monotonic()
        trial = attempt.made()
        seconds = round(time.monotonic() - began, 1)
        line = {"kind": kind, "number": number, "drawn": drawn, "seconds": seconds, "trial": asdict(trial)}
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(json.dumps(line) + "\n")
        self._keep(line)
        return trial

    def _keep(self, line: dict[str, Any]) -> None:
        self._made.add((line["kind"], line["number"], line["drawn"]))
        self.trials.append(Trial(**line["trial"]))
