"""Cheap text statistics that mean the same in every language with letters and spaces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from cl.heavy import np, pd
from cl.records import ChangedGroup

KEPT = 10
WORD = re.compile(r"\w+")


def words_in(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return WORD.findall(text.lower())


def vocabulary(texts: pd.Series) -> Counter[str]:
    """Return in how many texts each word occurs."""
    return Counter(word for text in texts for word in set(words_in(text)))


def describe(texts: pd.Series, known: Counter[str], *, among: bool) -> pd.DataFrame:
    """Return the length in characters and words, and the shares of non-letters and unknown words.

    Args:
        texts: any texts.
        known: the reference's vocabulary.
        among: whether ``known`` was counted on these texts; a word that occurs only in its own text then counts as
            unknown, as it is to every other text.
    """
    own = 1 if among else 0
    return pd.DataFrame(
        {
            "characters": texts.str.len().astype(float),
            "words": texts.map(lambda text: float(len(words_in(text)))),
            "non_letter_share": texts.map(
                lambda text: _share(text, lambda letter: not (letter.isalpha() or letter.isspace()))
            ),
            "unknown_word_share": texts.map(lambda text: _share(words_in(text), lambda word: known[word] <= own)),
        }
    )


def changed_words(before: pd.Series, after: pd.Series) -> list[ChangedGroup]:
    """Return the words whose share of the texts differs most, in standard errors; none if a side has no texts."""
    if before.empty or after.empty:
        return []
    old, new = vocabulary(before), vocabulary(after)
    words = sorted({*old, *new})
    shares = np.array([[old[word] / len(before), new[word] / len(after)] for word in words]).reshape(-1, 2)
    pooled = shares.mean(axis=1)
    errors = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-9) * (1 / len(before) + 1 / len(after)))
    order = np.argsort(-np.abs(shares[:, 1] - shares[:, 0]) / errors, kind="stable")[:KEPT]
    return [
        ChangedGroup(name=words[index], before=float(shares[index, 0]), after=float(shares[index, 1]))
        for index in order
    ]


def _share(parts: Sequence[str], counts: Callable[[str], bool]) -> float:
    return sum(map(counts, parts)) / max(1, len(parts))
