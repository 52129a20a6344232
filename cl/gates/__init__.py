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

    @property
    def compares(self) -> bool:
        """Whether it tests on single rows: chance can make it refuse, and it shares the level with the others."""
        return False

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int, among: int = 1) -> Verdict:
        """Return the verdict with what was measured, the bound, and why in words.

        Args:
            evaluation: the numbers of challenger and champion.
            predictions: one row for each test row: ``experience``, ``id``, ``target``, ``challenger``,
                ``challenger_score``, ``champion``, ``champion_score`` (0 to 1 a row: right or wrong, or the
                row's own score; champion columns are missing for a first version).
            seed: for gates that resample.
            among: how many gates test on single rows; each then has that share of its level (Bonferroni).
        """
        raise NotImplementedError
