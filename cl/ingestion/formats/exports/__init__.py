"""Exports of annotation tools, recognised by what their records hold, as rows in plain columns."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cl.ingestion.formats.exports import argilla, doccano, label_studio, prodigy
from cl.ingestion.formats.exports._base import NoLabelError, SetAsideError
from cl.ingestion.formats.rows import Record
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import readable_path

log = logging.getLogger(__name__)
HEAD = 20
"""Records by which an export is recognised, besides those that could be of several kinds."""

TOOLS: dict[str, Callable[[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]] | None]] = {
    "Label Studio": label_studio.recognise,
    "Prodigy": prodigy.recognise,
    "Argilla": argilla.recognise,
    "doccano": doccano.recognise,
}


@dataclass
class Export:
    """An export of one tool; ``left_out``: why how many of its records are no labelled rows.

    ``is_certain``: nobody else writes records like these, so that the tool can be named.
    """

    tool: str
    row: Callable[[dict[str, Any]], dict[str, Any]]
    is_certain: bool = True
    left_out: Counter[str] = field(default_factory=Counter)

    def rows_of(self, records: Iterable[tuple[str, Record]]) -> Iterator[tuple[str, Record]]:
        """Yield the rows of records; a record whose annotation is no good for learning is set aside by name."""
        for text, record in records:
            try:
                yield text, record if isinstance(record, UnreadableRow) else self.row(record)
            except NoLabelError as error:
                self.left_out[str(error)] += 1
            except SetAsideError as error:
                yield text, UnreadableRow(text.rstrip("\r\n"), str(error))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                yield text, UnreadableRow(text.rstrip("\r\n"), f"no record as {self.tool} writes it")

    def skipped(self) -> str:
        """Return what was left out for a message."""
        return ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common())

    def report(self, path: Path) -> None:
        """Say once what the file was read as, and what was left out."""
        read = [f"read as an export of {self.tool}"] if self.is_certain else []
        left_out = [f"left out: {self.skipped()}"] if self.left_out else []
        if said := "; ".join(read + left_out):
            log.warning("%s: %s", readable_path(path), said)


def recognise_export(records: Iterable[Record]) -> Export | None:
    """Return which tool wrote the records, or None for plain rows."""
    seen = 0
    for record in records:
        if isinstance(record, UnreadableRow):
            continue
        for tool, recognise in TOOLS.items():
            if row := recognise(record):
                return Export(tool, row, is_certain=tool != "doccano" or doccano.is_certain(record))
        seen += not doccano.is_undecided(record)
        if seen >= HEAD:
            break
    return None
