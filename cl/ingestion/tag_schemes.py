"""Tag schemes: which one a batch's tags are in, judged over all its sentences, and their form in BIO2."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from cl.errors import SourceError
from cl.ingestion.values import as_words, one_line

log = logging.getLogger(__name__)
OTHERS = 0.1
"""Largest share of sentences in another scheme; more are no slips."""
BIO2, IOB1 = "BIO2", "IOB1"
CLOSED = {"BIOES": ("B", "IM", "E", "SW"), "BILOU": ("B", "I", "L", "U")}
"""Schemes that mark where an entity ends: their letters for its first, inner and last token, and for a single one.

With other letters, BIOES is also called BMES and BMEWO.
"""


@dataclass
class BatchTags:
    """The tags of a batch, chunk by chunk."""

    origin: str
    column: str
    scheme: str | None = None
    readings: Counter[frozenset[str]] = field(default_factory=Counter)
    """How many sentences with entities are right in which schemes; in none, if they are broken."""
    example: str = ""

    def to_bio2(self, chunk: pd.DataFrame) -> pd.DataFrame:
        """Return a chunk with its tags in BIO2; sentences that are broken stay as they are.

        Raises:
            SourceError: the tags mix schemes, or another scheme than in the chunks before.
        """
        if self.column not in chunk:
            return chunk
        sentences = [as_words(value) for value in chunk[self.column].tolist()]
        readings = [_readings(tags) if tags and set(tags) != {"O"} else None for tags in sentences]
        self.readings.update(reading for reading in readings if reading is not None)
        if not self.example:
            broken = (
                tags for tags, reading in zip(sentences, readings, strict=True) if tags and reading == frozenset()
            )
            self.example = next((tag for tags in broken for tag in tags if tag != "O"), "")
        scheme = self._judge()
        if scheme is None or scheme == BIO2:
            return chunk
        values = zip(chunk[self.column].tolist(), sentences, readings, strict=True)
        cells = [_convert(tags, scheme) if tags and scheme in (right or ()) else cell for cell, tags, right in values]
        return chunk.assign(**{self.column: pd.Series(cells, dtype=object, index=chunk.index)})

    def finish(self) -> None:
        """Say what was converted, and refuse tags of no known scheme.

        Raises:
            SourceError: most sentences with entities are right in no scheme; to learn the others would be worse.
        """
        broken = self.readings[frozenset()]
        if broken > self.readings.total() / 2:
            kind = "are numbers without names" if self.example.isdigit() else "are in no known scheme"
            raise SourceError(
                one_line(
                    f"{self.origin}: the tags of {broken:,} of {self.readings.total():,} sentences with entities "
                    f"{kind}, such as '{self.example[:50]}'; write them as B-PER, I-PER and O"
                )
            )
        if self.scheme not in (None, BIO2):
            log.warning("%s: tags are in %s, converted to BIO2", self.origin, self.scheme)

    def _judge(self) -> str | None:
        """Return the scheme of all sentences so far, None while none has an entity."""
        counts = {scheme: self._count(lambda right, scheme=scheme: scheme in right) for scheme in SCHEMES}  # type: ignore[misc]
        best = max(counts, key=lambda scheme: counts[scheme])
        if not counts[best]:
            return None
        others = {scheme: self._count(lambda right, s=scheme: s in right and best not in right) for scheme in SCHEMES}  # type: ignore[misc]
        second = max(others, key=lambda scheme: others[scheme])
        if self._count(lambda right: bool(right) and best not in right) > OTHERS * self._count(bool):
            self._refuse(f"{counts[best]:,} sentences with entities are in {best}, {others[second]:,} in {second}")
        if self.scheme not in (None, best):
            self._refuse(f"its first sentences are in {self.scheme}, most in {best}")
        self.scheme = best
        return best

    def _count(self, chosen: Callable[[frozenset[str]], bool]) -> int:
        return sum(count for right, count in self.readings.items() if chosen(right))

    def _refuse(self, what: str) -> None:
        raise SourceError(
            f"{self.origin}: mixes tag schemes: {what}; convert column '{self.column}' to BIO2 as a whole"
        )


def _readings(tags: Sequence[str]) -> frozenset[str]:
    return frozenset(scheme for scheme, is_right in SCHEMES.items() if is_right(tags))


def is_bio2(tags: Sequence[str]) -> bool:
    """Return whether every entity begins with B.

    >>> is_bio2(["B-PER", "I-PER", "B-PER"]), is_bio2(["I-PER", "O"])
    (True, False)
    """
    previous = "O"
    for tag in tags:
        if not _is_tag(tag, "BI") or (tag.startswith("I-") and previous[2:] != tag[2:]):
            return False
        previous = tag
    return True


def _is_iob1(tags: Sequence[str]) -> bool:
    """Return whether entities begin with I, and with B only behind another of their type."""
    previous = "O"
    for tag in tags:
        if not _is_tag(tag, "BI") or (tag.startswith("B-") and previous[2:] != tag[2:]):
            return False
        previous = tag
    return True


def _is_closed(tags: Sequence[str], letters: Sequence[str]) -> bool:
    """Return whether every entity is marked from its first to its last token."""
    first, inner, last, single = letters
    kind = None
    for tag in tags:
        goes_on = tag[0] in inner + last
        if not _is_tag(tag, first + inner + last + single) or goes_on != (kind is not None):
            return False
        if goes_on and tag[2:] != kind:
            return False
        kind = tag[2:] if tag[0] in first + inner else None
    return kind is None


def _is_tag(tag: str, letters: str) -> bool:
    return tag == "O" or (len(tag) > 2 and tag[1] == "-" and tag[0] in letters)


SCHEMES: dict[str, Callable[[Sequence[str]], bool]] = {
    BIO2: is_bio2,
    IOB1: _is_iob1,
    **{scheme: lambda tags, letters=letters: _is_closed(tags, letters) for scheme, letters in CLOSED.items()},  # type: ignore[misc]
}
"""The schemes in the order of preference, and whether a sentence is right in each."""


def _convert(tags: Sequence[str], scheme: str) -> list[str]:
    """Return the tags of a sentence that is right in a scheme in BIO2.

    >>> _convert(["I-PER", "I-PER", "B-PER", "O", "I-LOC"], "IOB1")
    ['B-PER', 'I-PER', 'B-PER', 'O', 'B-LOC']
    >>> _convert(["B-PER", "E-PER", "S-LOC"], "BIOES")
    ['B-PER', 'I-PER', 'B-LOC']
    """
    if scheme == IOB1:
        pairs = zip(["O", *tags], tags, strict=False)
        return [f"B-{tag[2:]}" if tag[0] == "I" and before[2:] != tag[2:] else tag for before, tag in pairs]
    opening = CLOSED[scheme][0] + CLOSED[scheme][3]
    return [tag if tag == "O" else f"{'B' if tag[0] in opening else 'I'}{tag[1:]}" for tag in tags]
