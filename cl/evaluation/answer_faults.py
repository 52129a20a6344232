"""What is wrong with an answer whatever it says: cut, repeating itself, blank, in another script, invalid JSON."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cl.records.evaluation import FAULTS
from cl.tasks import Prediction, split_words

GRAM, TIMES = 4, 3
"""So many words in a row, so many times, are a repetition."""
CHINESE_AND_JAPANESE = ("CJK", "HIRAGANA", "KATAKANA")
JSON_BEGINS = ("{", "[")


def find_faults(truths: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
    """Return for each fault whether each answer has it: 1 or 0, and NaN where the true answer does not tell."""
    pairs = [(truth, str(answer.value)) for truth, answer in zip(truths, predictions, strict=True)]
    return {
        "cut": np.array([float(answer.cut) for answer in predictions]),
        "repeats": np.array([float(repeats(answer) and not repeats(truth)) for truth, answer in pairs]),
        "blank": np.array([float(bool(truth.strip()) and not answer.strip()) for truth, answer in pairs]),
        "other_script": np.array([in_other_script(truth, answer) for truth, answer in pairs]),
        "invalid_json": np.array([is_invalid_json(truth, answer) for truth, answer in pairs]),
    }


def measure_faults(table: pd.DataFrame, who: str) -> dict[str, float]:
    """Return ``share_cut``, ``share_repeats``, ...: the share of a model's answers with each fault, 0 to 1.

    A fault that no row decides is left out.
    """
    shares = {fault: table[f"{who}_{fault}"].mean() for fault in FAULTS if f"{who}_{fault}" in table}
    return {f"share_{fault}": float(share) for fault, share in shares.items() if share == share}


def measure_length(table: pd.DataFrame, who: str) -> dict[str, float]:
    """Return ``length_ratio``: the words of all answers over those of the true ones; 1: as long as they should be.

    chrF counts recall four times as much as precision, and so rewards answers that are too long.
    """
    if f"{who}_cut" not in table:
        return {}
    asked, own = (sum(len(split_words(str(text))) for text in table[column]) for column in ("target", who))
    return {"length_ratio": own / asked} if asked else {}


def repeats(text: str) -> bool:
    """Return whether the same four words, or letters where nothing is between words, come three times.

    >>> repeats("we are sorry that " * 3), repeats("we are sorry that it is late")
    (True, False)
    """
    words = split_words(text)
    grams = Counter(tuple(words[start : start + GRAM]) for start in range(len(words) - GRAM + 1))
    return max(grams.values(), default=0) >= TIMES


def in_other_script(truth: str, answer: str) -> float:
    """Return 1 if most letters of an answer are in a script that the true answer has no letter of; NaN without letters.

    A letter's script is what its Unicode name begins with; those of Chinese and Japanese count as one.

    >>> in_other_script("guten Tag", "добрый день"), in_other_script("猫です", "ねこ"), in_other_script("12", "twelve")
    (1.0, 0.0, nan)
    """
    known = set(_scripts(truth))
    if not known:
        return float("nan")
    own = _scripts(answer)
    return float(sum(script not in known for script in own) > len(own) / 2)


def _scripts(text: str) -> list[str]:
    return [_script_of(letter) for letter in text if unicodedata.category(letter)[0] == "L"]


@functools.lru_cache(maxsize=10_000)
def _script_of(letter: str) -> str:
    words = [word for word in unicodedata.name(letter, "?").split() if word not in ("FULLWIDTH", "HALFWIDTH")]
    first = words[0].partition("-")[0] if words else "?"
    return CHINESE_AND_JAPANESE[0] if first in CHINESE_AND_JAPANESE else first


def is_invalid_json(truth: str, answer: str) -> float:
    """Return 1 if the true answer is a JSON object or array and the answer is not JSON; NaN if the true one is not.

    >>> is_invalid_json('{"a": 1}', '{"a": '), is_invalid_json("[1]", "[2]"), is_invalid_json("yes", "no")
    (1.0, 0.0, nan)
    """
    if not truth.lstrip().startswith(JSON_BEGINS) or not _is_json(truth):
        return float("nan")
    return float(not _is_json(answer))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
