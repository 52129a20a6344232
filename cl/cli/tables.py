"""Fit a command's text to the terminal: tables within its width, and verdicts in colour; elsewhere it stays as it is.

Colour follows NO_COLOR, FORCE_COLOR and TERM=dumb, as rich does. Tables are read back from their lines, so that the
functions that format them need not know about terminals.
"""

from __future__ import annotations

import io
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = {
    **dict.fromkeys(("pass", "passed", "promoted", "intact"), "green"),
    **dict.fromkeys(("fail", "failed", "refused", "rejected", "diverged"), "red"),
    **dict.fromkeys(("undecided", "held", "pending"), "yellow"),
}
GAP = "  "


@dataclass(frozen=True)
class Layout:
    """What a text looks like.

    ``header`` is how the header of its table begins, up to the next blank line; ``dropped`` are the columns that a
    narrow terminal does without, the first first, and ``cuts`` whether lines that are still too wide are cut, rather
    than continued on the next line; ``verdicts`` are the columns that hold verdicts. ``marked`` finds
    verdicts in the other lines, in a group ``verdict``; ``wrapped`` finds the beginning of lines that continue below
    their last column.
    """

    header: str = ""
    dropped: tuple[str, ...] = ()
    cuts: bool = True
    verdicts: tuple[str, ...] = ()
    marked: str = r"(?!)"
    wrapped: str = r"(?!)"


CYCLES = Layout(
    header="experience ",
    dropped=("seconds", "quarantined", "rows", "decision", "drift"),
    verdicts=("verdict",),
    marked=r"    (?:rung [^:]+: .*, )?(?P<verdict>refused|diverged|passed)\b",
)
STATUS = Layout(
    header="version ", dropped=("aliases",), verdicts=("gates",), marked=r"last cycle  [^:]+: (?P<verdict>\w+)$"
)
GATES = Layout(
    marked=r"(?:  )?(?P<verdict>pass|FAIL|fail|undecided)  |[^ :]+: (?P<outcome>\w+), version ",
    wrapped=r"(?:pass|FAIL|undecided) +\S+ {2,}",
)
DEMO = Layout(marked=rf"(?:\d{{4}}-\S+ .*  (?P<month>promoted|refused|held)  )|{CYCLES.marked}")
"""Its table comes line by line, so that no column is left out."""
REPLAY = Layout(header="experience ", verdicts=("then", "now"))
LEDGER = Layout(header="    #", dropped=("hash",), cuts=False, verdicts=("state",), marked=r"(?P<verdict>intact): ")


def on_terminal(text: str, layout: Layout) -> str:
    """Return a text as standard output shows it: unchanged where that is neither a terminal nor asked for colours."""
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        return text
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty() and (context := click.get_current_context(silent=True)):
        context.color = True  # else click removes what was asked for
    width = console.width if sys.stdout.isatty() else None
    return _coloured(console, "\n".join(_laid_out(text.split("\n"), layout, width)), layout)


class ColouredLines(io.TextIOBase):
    """Standard output for lines that come one by one, with verdicts in colour where it shows colours."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def write(self, text: str) -> int:
        """Write a text that has whole lines, or a line's end alone."""
        click.echo(on_terminal(text, self._layout), nl=False)
        return len(text)


def fit_table(lines: Sequence[str], dropped: Sequence[str], width: int) -> list[str]:
    """Return the lines of a table without as many of the named columns as its width demands.

    >>> fit_table(["name    rows  seconds", "one       12      3.5"], ["seconds"], width=16)
    ['name  rows', 'one     12']
    """
    if max(map(len, lines)) <= width:
        return list(lines)
    columns = split_columns(lines)
    for name in dropped:
        if max(len(line.rstrip()) for line in _joined(columns)) > width:
            columns = [column for column in columns if column[0].strip() != name]
    return [line.rstrip() for line in _joined(columns)]


def split_columns(lines: Sequence[str]) -> list[list[str]]:
    """Return the columns of a table, each with its cells from the header on: two blanks in all lines part them."""
    return [[line.ljust(end)[start:end] for line in lines] for start, end in _column_bounds(lines)]


def _column_bounds(lines: Sequence[str]) -> list[tuple[int, int]]:
    longest = max(map(len, lines))
    padded = [line.ljust(longest) for line in lines]
    used = "".join(" " if all(line[index] == " " for line in padded) else "x" for index in range(longest))
    return [part.span() for part in re.finditer(r"x(?: ?x)*", used)]


def _joined(columns: list[list[str]]) -> list[str]:
    return [GAP.join(cells) for cells in zip(*columns, strict=True)]


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _laid_out(lines: list[str], layout: Layout, width: int | None) -> Iterator[str]:
    start, end = _table(lines, layout)
    for index, line in enumerate(lines):
        if width is None or not start <= index < end:
            yield from _wrapped(line, layout, width)
        elif index == start:
            fitted = fit_table(lines[start:end], layout.dropped, width)
            yield from ([_cut(line, width) for line in fitted] if layout.cuts else fitted)


def _table(lines: list[str], layout: Layout) -> tuple[int, int]:
    """Return the first line of the table, and the line after its last; equal where there is none."""
    start = next((i for i, line in enumerate(lines) if layout.header and line.startswith(layout.header)), len(lines))
    return start, next((i for i in range(start, len(lines)) if not lines[i].strip()), len(lines))


def _wrapped(line: str, layout: Layout, width: int | None) -> list[str]:
    head = re.match(layout.wrapped, line)
    if width is None or head is None or len(line) <= width or width - head.end() < width // 3:
        return [line]
    indent = " " * head.end()
    parts = textwrap.wrap(line[head.end() :], width - head.end())
    return [line[: head.end()] + parts[0], *(indent + part for part in parts[1:])]


def _coloured(console: Console, text: str, layout: Layout) -> str:
    from rich.text import Text

    shown, lines, position = Text(text), text.split("\n"), 0
    spans = _verdict_spans(lines, layout)
    for index, line in enumerate(lines):
        for start, end in spans.get(index, []):
            if colour := COLOURS.get(line[start:end].lower()):
                shown.stylize(colour, position + start, position + end)
        position += len(line) + 1
    with console.capture() as captured:
        console.print(shown, end="", soft_wrap=True)
    return captured.get()


def _verdict_spans(lines: list[str], layout: Layout) -> dict[int, list[tuple[int, int]]]:
    """Return the line number -> where its verdicts begin and end."""
    start, end = _table(lines, layout)
    spans: dict[int, list[tuple[int, int]]] = {}
    if start < end:
        for name in layout.verdicts:
            if column := _bounds_of(name, lines[start:end]):
                for index in range(start + 1, end):
                    word = re.search(r"\S+", lines[index][slice(*column)])
                    if word:
                        spans.setdefault(index, []).append((column[0] + word.start(), column[0] + word.end()))
    for index, line in enumerate(lines):
        if not start <= index < end and (match := re.match(layout.marked, line)):
            group = next(name for name in match.groupdict() if match[name])
            spans.setdefault(index, []).append(match.span(group))
    return spans


def _bounds_of(name: str, lines: Sequence[str]) -> tuple[int, int] | None:
    """Return where a column of a table begins and ends, by its name in the header."""
    return next((bounds for bounds in _column_bounds(lines) if lines[0][slice(*bounds)].strip() == name), None)
