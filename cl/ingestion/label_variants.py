"""Notice labels that people take for the same: they differ only in Unicode form, case or white space."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cl.ingestion.check_rows import CheckedRows

SHOWN = 3
INVISIBLE = "Cf"
"""Unicode's category of characters that only format, such as the zero-width space."""


@dataclass
class BatchLabels:
    """The labels or entity types of a batch's good rows, and those of all its rows that had to be composed."""

    names: set[str] = field(default_factory=set)
    composed: set[str] = field(default_factory=set)

    def add(self, checked: CheckedRows) -> None:
        """Add those of a chunk."""
        self.composed |= checked.composed
        if "label" in checked.good:
            self.names.update(checked.good["label"])
        else:
            self.names.update(tag[2:] for tags in checked.good["tags"] for tag in tags if tag != "O")

    def notices(self, known: Collection[str]) -> list[str]:
        """Return what a person should know of them, a line each; ``known`` are the labels of earlier experiences."""
        notices = []
        if self.composed:
            shown = ", ".join(map(show_label, sorted(self.composed)[:SHOWN]))
            notices.append(f"labels with combining characters were composed (Unicode NFC), such as {shown}")
        pairs = similar_labels(self.names, known)
        if pairs:
            differ = "labels that differ only in Unicode form, case or white space are separate classes"
            notices.append(f"{differ}: {list_pairs(pairs)}")
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


def list_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a few pairs of labels for a message, with what cannot be seen as escapes."""
    shown = ", ".join(f"{show_label(label)} and {show_label(other)}" for label, other in pairs[:SHOWN])
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
