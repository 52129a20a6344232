"""CoNLL column files: a token and its tags in each line, a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cl.errors import SourceError
from cl.heavy import pd
from cl.ingestion.bounds import ROW_CHARS, bounded_lines, open_text
from cl.ingestion.formats.dialect import HEAD_LINES, head_lines
from cl.ingestion.formats.encoding import Encoding
from cl.ingestion.formats.rows import Record, record_chunks
from cl.ingestion.internal_columns import UnreadableRow
from cl.ingestion.values import readable_path

TAG = re.compile(r"O|[BIESLUMW]-\S+")
DOCUMENT = "-DOCSTART-"


def looks_like_conll(path: Path, encoding: Encoding) -> bool:
    """Return whether the first lines of a file are tokens with tags, in sentences between blank lines.

    A table with a header may have a column of tags too: with a header, there must be a blank line between two others.
    """
    lines = list(head_lines(path, encoding))
    rows = [_fields(line) for line in lines if not _is_skipped(line)]
    column = _tag_column(rows)
    if len(rows) < 2 or column is None or any(len(row) < 2 for row in rows):
        return False
    sentences = "".join("\n" if _is_skipped(line) else "x" for line in lines).split()
    return len(sentences) > 1 or (len(lines) < HEAD_LINES and TAG.fullmatch(rows[0][column]) is not None)


def conll_chunks(path: Path, chunk_rows: int, encoding: Encoding) -> Iterator[pd.DataFrame]:
    """Yield the sentences of a column file as rows with tokens and tags.

    The tag is the last column; of two columns it may be the first. A first line of names is skipped. A
    sentence with a line of another number of columns is unreadable.

    Raises:
        SourceError: no column holds tags, or no blank line separates the sentences.
    """
    rows = [_fields(line) for line in head_lines(path, encoding) if not _is_skipped(line)]
    column = _tag_column(rows)
    if column is None:
        raise SourceError(
            f"{readable_path(path)}: no column of tags such as O and B-PER in the last place; give lines of token and "
            "tag, and a blank line after each sentence"
        )
    width = max({len(row) for row in rows}, key=[len(row) for row in rows].count)
    header = None if TAG.fullmatch(rows[0][column]) else rows[0]
    yield from record_chunks(path, _sentences(path, encoding, column, width, header), chunk_rows)


def _sentences(
    path: Path, encoding: Encoding, column: int, width: int, header: list[str] | None
) -> Iterator[tuple[str, Record]]:
    with open_text(path, encoding.codec) as file:
        lines: list[str] = []
        size = 0
        for line in bounded_lines(file):
            if header and _fields(line) == header:
                header = None
                continue
            size += len(line)
            if size > ROW_CHARS:
                raise SourceError(
                    f"{readable_path(path)}: a sentence is longer than {ROW_CHARS:,} characters; put a blank line "
                    "after each sentence"
                )
            if not line.isspace() and not line.startswith(DOCUMENT):
                lines.append(line)
            elif lines:
                yield from _sentence(lines, column, width)
                lines, size = [], 0
        yield from _sentence(lines, column, width)


def _sentence(lines: list[str], column: int, width: int) -> Iterator[tuple[str, Record]]:
    rows = [_fields(line) for line in lines if not _is_skipped(line)]
    text = "".join(lines)
    if any(len(row) != width for row in rows):
        yield text, UnreadableRow(text.rstrip("\r\n"), f"a line of other than {width} columns")
    elif rows:
        yield text, {"tokens": [row[0 if column else 1] for row in rows], "tags": [row[column] for row in rows]}


def _is_skipped(line: str) -> bool:
    """Return whether a line holds no token: blank, the start of a document, or a comment as in CoNLL-U."""
    if line.startswith("# "):
        return TAG.fullmatch(line.split()[-1]) is None
    return not line or line.isspace() or line.startswith(DOCUMENT)


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.rstrip("\r\n").split("\t")] if "\t" in line else line.split()


def _tag_column(rows: list[list[str]]) -> int | None:
    """Return the column of tags: the last, or the first of two."""
    complete = [row for row in rows if len(row) > 1]
    if not complete:
        return None
    for column in (-1, 0):
        tags = [row[column] for row in complete]
        has_header = len(tags) > 2 and not TAG.fullmatch(tags[0])
        if sum(bool(TAG.fullmatch(tag)) for tag in tags) >= 0.9 * (len(tags) - has_header):
            return column if column or all(len(row) == 2 for row in complete) else None
    return None
