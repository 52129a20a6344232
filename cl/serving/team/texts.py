"""Bounded texts for the page: what comes from files, labels and people may be of any length and hold anything."""

from __future__ import annotations

from cl.ingestion.values import printable
from cl.redaction import without_password

LINE = 400
"""Most characters of a sentence."""
ROW = 600
"""Most characters of a row."""


def shorten(text: object, most: int = LINE) -> str:
    """Return a text as one printable line without secrets, of at most so many characters.

    >>> shorten("a  text" + chr(10) + "that is long", most=12)
    'a text that…'
    """
    words = " ".join(without_password(str(text)[: 4 * most]).split())
    line = printable(words)
    return line if len(line) <= most else f"{line[: most - 1]}…"
