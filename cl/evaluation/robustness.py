"""The main metric once more, on test rows that are disturbed a little: typing errors, casing, an adversary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from cl.config import EvaluationSettings
from cl.evaluation.adversarial import measure_adversarial
from cl.models.inference import predict
from cl.models.learner import Learner

SHORTEST = 4
"""Letters of a word in which a slip does not make another word too easily."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Change = Callable[[str, np.random.Generator], str]


def measure_robustness(
    learner: Learner, rows: pd.DataFrame, settings: EvaluationSettings, *, seed: int
) -> dict[str, float]:
    """Return ``robustness_typos``, ``robustness_casing`` and ``robustness_adversarial``, as far as they are wanted.

    Each is the task's main metric, 0 to 1, over the disturbed rows: the same rows, disturbed in the same way, for
    every model.

    Args:
        learner: the model.
        rows: test rows, a draw of them; without any there are no numbers.
        settings: which, and how much.
        seed: of the disturbance.
    """
    if rows.empty:
        return {}
    changes: dict[str, Change] = {"typos": partial(add_typos, share=settings.typos), "casing": change_case}
    found = {}
    for kind in settings.robustness:
        if kind == "adversarial":
            values = measure_adversarial(learner, rows, epsilon=settings.epsilon)
        else:
            changed = disturb(rows, learner.task.columns[0], changes[kind], seed=seed)
            values = [one.value for one in predict(learner, changed)]
        found[f"robustness_{kind}"] = learner.task.score(rows, values)[learner.task.metric]
    return found


def disturb(rows: pd.DataFrame, column: str, change: Change, *, seed: int) -> pd.DataFrame:
    """Return the rows with each text, or each of its tokens, changed; a row's id and the seed decide how."""
    return rows.assign(
        **{column: [_each(value, change, _rng(seed, id)) for id, value in zip(rows["id"], rows[column], strict=True)]}
    )


def add_typos(text: str, rng: np.random.Generator, *, share: float) -> str:
    """Put one typing error into some words of four letters or more (Pruthi et al., 2019, section 3).

    Two inner letters are swapped, or one is left out, doubled or hit wrongly; the first and the last stay.
    """
    return " ".join(_slip(word, rng) if rng.random() < share else word for word in text.split(" "))


def change_case(text: str, rng: np.random.Generator) -> str:
    """Write a text in capitals, in small letters, or each word with a capital."""
    return [str.upper, str.lower, str.title][int(rng.integers(3))](text)


def _slip(word: str, rng: np.random.Generator) -> str:
    if len(word) < SHORTEST:
        return word
    at, kind = int(rng.integers(1, len(word) - 2)), int(rng.integers(4))
    slips = [
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + LETTERS[int(rng.integers(len(LETTERS)))] + word[at + 1 :],
    ]
    return slips[kind]


def _each(value: Any, change: Change, rng: np.random.Generator) -> Any:
    return change(value, rng) if isinstance(value, str) else [change(str(token), rng) for token in value]


def _rng(seed: int, id: object) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{id}".encode()).digest()[:8], "big"))
