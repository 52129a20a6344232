"""What the exports of all annotation tools share."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from cl.tasks import token_offsets as token_offsets

Span: TypeAlias = "tuple[int, int, str]"
"""The first character of an entity, the one after its last, and its type."""


class NoLabelError(Exception):
    """A record that nobody has labelled, or whose label was rejected: it is no row. The message says why, in a word."""


class SetAsideError(Exception):
    """A record whose annotation cannot be learnt; the message is the reason for its quarantine."""


def tag_spans(
    text: str, spans: Iterable[Span], offsets: Sequence[tuple[int, int]] | None = None
) -> dict[str, list[str]]:
    """Return the tokens of a text and their BIO2 tags, as columns of a row.

    Args:
        text: whose characters the spans count.
        spans: the entities, in any order.
        offsets: of the tokens; None: as `token_offsets` says.

    Raises:
        SetAsideError: a span cuts a token, overlaps another, lies outside the text or holds no token.
    """
    offsets = token_offsets(text) if offsets is None else offsets
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    tags = ["O"] * len(offsets)
    for start, end, label in sorted(set(spans)):
        if not 0 <= start < end <= len(text):
            raise SetAsideError("a span lies outside the text")
        first, last = bisect_right(ends, start), bisect_left(starts, end) - 1
        if first > last:
            raise SetAsideError("a span holds no token")
        if starts[first] < start or ends[last] > end:
            raise SetAsideError("a span cuts a token")
        if any(tag != "O" for tag in tags[first : last + 1]):
            raise SetAsideError("spans overlap")
        tags[first : last + 1] = [f"B-{label}", *[f"I-{label}"] * (last - first)]
    return {"tokens": [text[start:end] for start, end in offsets], "tags": tags}


def as_span(value: Any, *, start: str = "start", end: str = "end", label: str = "label") -> Span:
    """Return a span from a list of start, end and label, or from a dictionary with these keys."""
    parts = value if isinstance(value, list) else [value[start], value[end], value[label]]
    first, last, name = parts[:3]
    if not isinstance(first, int) or not isinstance(last, int) or not isinstance(name, str):
        raise SetAsideError("a span without start, end and label")
    return first, last, name


def only_label(labels: Sequence[Any]) -> Any:
    """Return the label of a record.

    Raises:
        NoLabelError: it has none.
        SetAsideError: it has several.
    """
    if not labels:
        raise NoLabelError("without a label")
    if len(labels) > 1:
        raise SetAsideError("several labels")
    return labels[0]


def agreed(answers: Sequence[Any]) -> Any:
    """Return the answer that all annotators gave.

    Raises:
        NoLabelError: nobody has answered.
        SetAsideError: they disagree.
    """
    if not answers:
        raise NoLabelError("without an answer")
    if any(answer != answers[0] for answer in answers):
        raise SetAsideError("annotators disagree")
    return answers[0]
