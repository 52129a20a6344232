"""Rules over an evaluation: one file a gate; every gate must pass before a challenger serves.

A gate is a pure function of the evaluation and of the stored per-row predictions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl.plugins import Plugin
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Gate(Plugin):
    """Base of all gates."""

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict with what was measured, the bound, and why in words.

        Args:
            evaluation: the numbers of challenger and champion.
            predictions: one row for each test row: ``experience``, ``id``, ``target``, ``challenger``,
                ``challenger_score``, ``champion``, ``champion_score`` (0 to 1 a row: right or wrong, or the
                row's own score; champion columns are missing for a first version).
            seed: for gates that resample.
        """
        raise NotImplementedError
