"""Notice labels that people take for the same: they differ in Unicode form, case or white space, or by a slip."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from cl.ingestion.check_rows import CheckedRows
from cl.ingestion.label_cells import joined_labels, known_spellings
from cl.tasks import Column, ValueKind, occurrences

SHOWN = 3
RARE = 3
"""Rows of a label that may be a slip."""
SHORTEST = 5
MAX_LABELS = 500
"""More are not compared with each other."""
INVISIBLE = "Cf"
"""Unicode's category of characters that only format, such as the zero-width space."""


class BatchLabels:
    """The labels or entity types of a batch's good rows with their counts, and all that had to be composed."""

    def __init__(self, known: Collection[str], answer: Column) -> None:
        """Take the labels of earlier experiences, and the column with those of a row."""
        self._known, self._answer = set(known), answer
        self.spellings = known_spellings(self._known)
        self.counts: Counter[str] = Counter()
        self.composed: set[str] = set()

    def add(self, checked: CheckedRows) -> None:
        """Add those of a chunk."""
        self.composed |= checked.composed
        if self._answer.kind is ValueKind.LABEL:
            self.counts.update(checked.good[self._answer.name])
        elif self._answer.kind.names_classes:
            answers = checked.good[self._answer.name]
            self.counts.update(name for answer in answers for name in occurrences(self._answer.kind, answer))

    def joined(self) -> list[str]:
        """Return the labels that list several others of the batch or the stream."""
        return list(joined_labels(self.counts, self._known)) if self._answer.kind is ValueKind.LABEL else []

    def notices(self) -> list[str]:
        """Return what a person should know of them, a line each."""
        notices = []
        if self.composed:
            shown = ", ".join(map(show_label, sorted(self.composed)[:SHOWN]))
            notices.append(f"labels with combining characters were composed (Unicode NFC), such as {shown}")
        pairs = similar_labels(self.counts, self._known)
        if pairs:
            differ = "labels that differ only in Unicode form, case or white space are separate classes"
            notices.append(f"{differ}: {list_pairs(pairs, self.counts)}")
        typos = misspelt_labels(self.counts, self._known)
        if typos:
            notices.append(f"new labels that are nearly another one: {list_pairs(typos, self.counts)}")
        if joined := self.joined():
            rows = sum(self.counts[label] for label in joined)
            shown = ", ".join(map(show_label, joined[:SHOWN]))
            notices.append(f"{rows} rows with more than one label are set aside, such as {shown}")
        return notices


def similar_labels(labels: Collection[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of labels that differ only in Unicode form, case or white space, at least one of them new.

    Args:
        labels: of the new rows.
        known: of all earlier experiences.

    >>> similar_labels({"Late fee", "late  fee", "loan"}, known={"loan", "late fee"})
    [('late fee', 'Late fee'), ('late fee', 'late  fee')]
    """
    first: dict[str, str] = {}
    for label in (*sorted(known), *sorted(labels)):
        first.setdefault(_fold(label), label)
    new = sorted(set(labels) - set(known))
    return [(first[_fold(label)], label) for label in new if first[_fold(label)] != label]


def misspelt_labels(counts: Mapping[str, int], known: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of a frequent label and a rare new one that is a slip of the keyboard away from it.

    A slip leaves out, adds, changes or swaps letters, one of them; digits are no slip.

    >>> misspelt_labels({"refund": 40, "refnud": 1}, known=())
    [('refund', 'refnud')]
    """
    rare = [label for label in sorted(set(counts) - set(known)) if counts[label] <= RARE and len(label) >= SHORTEST]
    frequent = [label for label in sorted({*counts, *known}) if label in known or counts[label] > RARE]
    if len(rare) > MAX_LABELS or len(frequent) > MAX_LABELS:
        return []
    pairs = ((next((other for other in frequent if _is_slip(label, other)), None), label) for label in rare)
    return [(other, label) for other, label in pairs if other is not None]


def _is_slip(label: str, other: str) -> bool:
    if abs(len(label) - len(other)) > 1 or label == other:
        return False
    start = _common_start(label, other)
    first, second = label[start:], other[start:]
    end = _common_start(first[::-1], second[::-1])
    first, second = first[: len(first) - end], second[: len(second) - end]
    one_letter = len(first) <= 1 and len(second) <= 1
    return (one_letter or (len(first) == 2 and first == second[::-1])) and (first + second).isalpha()


def _common_start(text: str, other: str) -> int:
    """Return how many characters two texts begin with in common."""
    differing = (index for index, (left, right) in enumerate(zip(text, other, strict=False)) if left != right)
    return next(differing, min(len(text), len(other)))


def list_pairs(pairs: Sequence[tuple[str, str]], counts: Mapping[str, int] = MappingProxyType({})) -> str:
    """Return a few pairs of labels for a message, with their rows, and with what cannot be seen as escapes."""

    def show(label: str) -> str:
        return show_label(label) + (f" ({counts[label]})" if label in counts else "")

    shown = ", ".join(f"{show(label)} and {show(other)}" for label, other in pairs[:SHOWN])
    return shown + (f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")


def show_label(label: str) -> str:
    """Return a label in quotation marks, cut; one that is not composed is shown with the code points of its letters.

    >>> show_label("cafe\\u0301"), show_label("caf\\u00e9")
    ("'cafe\\\\u0301'", "'café'")
    """
    shown = label[:80] + ("..." if len(label) > 80 else "")
    return repr(shown) if unicodedata.is_normalized("NFC", shown) else ascii(shown)


def _fold(label: str) -> str:
    """Return what is left of a label without case, white space and invisible characters, in Unicode's form NFKC."""
    if label.isascii():
        return "".join(label.casefold().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return "".join(letter for letter in folded if not letter.isspace() and unicodedata.category(letter) != INVISIBLE)
