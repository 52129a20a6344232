"""Find new labels that take the place of old ones, and the change of labels that may be meant."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from cl.models.snapshot import Snapshot

MOST, EACH = 0.8, 0.2
"""Share of a new label's rows that are answered as the old labels together, and as each of them."""
MIN_ROWS = 5
"""Rows that a new label must have."""
MISSED = 3.0
"""Rows that an old label would have had by its share so far, and has none."""


@dataclass(frozen=True)
class Takeover:
    """A new label, how many rows it has, and the old labels as which most of them are answered."""

    new: str
    rows: int
    old: tuple[str, ...]
    answered: int


def find_takeovers(reference: Snapshot, new: Snapshot) -> list[Takeover]:
    """Return the new labels whose rows are mostly answered as labels that no new row has any longer.

    Where no new row has a known label, there are none: such rows are about something else, so that no old label is
    missed among them, and whatever the model answers is one of the old ones.

    Args:
        reference: rows that the champion was promoted on.
        new: rows to learn, all of which count for what has become of the old labels.
    """
    known, labels = set(new.known_labels), new.frame["label"] if new.labels is None else new.labels
    if new.separator is not None:  # a row has several classes, so no answer stands for one of them
        return []
    if known.isdisjoint(labels):
        return []
    expected = reference.frame["label"].value_counts(normalize=True) * len(labels)
    gone = {label for label in known - set(labels) if expected.get(label, 0.0) >= MISSED}
    takeovers = []
    for label, rows in new.frame.groupby("label"):
        if label in known or len(rows) < MIN_ROWS:
            continue
        answers = rows["prediction"].value_counts()
        old = answers[answers >= EACH * len(rows)]
        if set(old.index) <= gone and old.sum() >= MOST * len(rows):
            takeovers.append(Takeover(str(label), len(rows), tuple(sorted(map(str, old.index))), int(old.sum())))
    return takeovers


def describe_takeovers(takeovers: list[Takeover]) -> str:
    """Return what was found and the command that says it, or an empty text.

    >>> describe_takeovers([Takeover("refund", 40, ("fee",), 38)])
    "38 of 40 rows with 'refund' are answered as 'fee', which no row has any longer; \
if it is the same: cl labels merge fee refund --into refund"
    """
    parts = []
    for old in dict.fromkeys(takeover.old for takeover in takeovers):
        group = [takeover for takeover in takeovers if takeover.old == old]
        rows, answered = sum(takeover.rows for takeover in group), sum(takeover.answered for takeover in group)
        names, olds = (
            " and ".join(f"'{name}'" for name in labels) for labels in ([takeover.new for takeover in group], old)
        )
        says = f"{answered} of {rows} rows with {names} are answered as {olds}, which no row has any longer"
        if len(group) == 1:
            words = " ".join(map(quote, (*old, group[0].new, "--into", group[0].new)))
            parts.append(f"{says}; if it is the same: cl labels merge {words}")
        elif len(old) == 1:
            parts.append(f"{says}; if it was split: cl labels split {quote(old[0])} --by FILE")
    return "; ".join(parts)
