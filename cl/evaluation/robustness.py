"""Measure robustness: the main metric on perturbed test rows (typing errors, casing, an adversary)."""

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
from cl.models.typing_errors import add_typing_errors
from cl.tasks import Capability, ValueKind

Change = Callable[[str, np.random.Generator], str]


def measure_robustness(
    learner: Learner, rows: pd.DataFrame, settings: EvaluationSettings, *, seed: int
) -> dict[str, float]:
    """Return ``robustness_typos``, ``robustness_casing`` and ``robustness_adversarial``, as configured.

    Each is the task's main metric, 0 to 1, on perturbed rows: the same rows, and except for the adversarial ones
    perturbed in the same way, for every model.

    Args:
        learner: the model.
        rows: a sample of test rows; a number that they cannot decide is left out.
        settings: which perturbations, and how strong.
        seed: seed of the perturbations.
    """
    if rows.empty or any(column.kind is ValueKind.SPAN for column in learner.task.schema.inputs):
        return {}  # in a disturbed text, a span would mean something else
    changes: dict[str, Change] = {"typos": partial(add_typing_errors, share=settings.typos), "casing": change_case}
    scores = {}
    for kind in settings.robustness:
        if kind == "adversarial":
            if Capability.ENCODER not in learner.task.provides:
                continue
            values = measure_adversarial(learner, rows, epsilon=settings.epsilon)
        else:
            changed = rows
            for column in learner.task.schema.inputs:
                if column.kind.is_read:
                    changed = disturb(changed, column.name, changes[kind], seed=seed)
            values = [prediction.value for prediction in predict(learner, changed)]
        if (score := learner.task.main_score(rows, values)) is not None:
            scores[f"robustness_{kind}"] = score
    return scores


def disturb(rows: pd.DataFrame, column: str, change: Change, *, seed: int) -> pd.DataFrame:
    """Return the rows with each text, or each of its tokens, changed as its id and the seed determine."""
    pairs = zip(rows["id"], rows[column], strict=True)
    return rows.assign(**{column: [_change_value(value, change, _rng(seed, id)) for id, value in pairs]})


def change_case(text: str, rng: np.random.Generator) -> str:
    """Return the text in upper case, lower case or title case, chosen at random."""
    return [str.upper, str.lower, str.title][int(rng.integers(3))](text)


def _change_value(value: Any, change: Change, rng: np.random.Generator) -> Any:
    return change(value, rng) if isinstance(value, str) else [change(str(token), rng) for token in value]


def _rng(seed: int, id: object) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{id}".encode()).digest()[:8], "big"))
