"""Typing errors in words, as people make them."""

from __future__ import annotations

import numpy as np

MIN_LETTERS = 4
"""Fewest letters of a word to put a typing error in: shorter words too easily become other words."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def add_typing_errors(text: str, rng: np.random.Generator, *, share: float) -> str:
    """Put one typing error into a share of the words of four letters or more (Pruthi et al., 2019, section 3).

    Two inner letters are swapped, or one is dropped, doubled or replaced; the first and last letters stay.
    """
    return " ".join(_add_typo(word, rng) if rng.random() < share else word for word in text.split(" "))


def _add_typo(word: str, rng: np.random.Generator) -> str:
    if len(word) < MIN_LETTERS:
        return word
    index, kind = int(rng.integers(1, len(word) - 2)), int(rng.integers(4))
    typos = [
        word[:index] + word[index + 1] + word[index] + word[index + 2 :],
        word[:index] + word[index + 1 :],
        word[:index] + word[index] + word[index:],
        word[:index] + LETTERS[int(rng.integers(len(LETTERS)))] + word[index + 1 :],
    ]
    return typos[kind]
