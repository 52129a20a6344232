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
    """Base of all gates.

    A gate that tests something tells so in its verdict's parts, each with its p-value and alpha: the confidence then
    holds for all gates together (`cl.gating.verdicts`).
    """

    @property
    def columns(self) -> set[str]:
        """The columns of the data, beside those that every evaluation stores, that it needs of each row."""
        return set()

    @property
    def function(self) -> str | None:
        """A Python function of the project's owner that it calls; None: it calls none."""
        return None

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict with what was measured, the bound, and why in words.

        Args:
            evaluation: the numbers of challenger and champion.
            predictions: one row for each test row: ``experience``, ``id``, ``target``, ``challenger``,
                ``challenger_score``, ``champion``, ``champion_score`` (0 to 1 a row: right or wrong, or the
                row's own score; champion columns are missing for a first version), and the `columns` it asked for.
            seed: for gates that resample.
        """
        raise NotImplementedError
