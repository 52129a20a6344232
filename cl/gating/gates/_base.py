"""The base of all gates: a gate is a pure function of an evaluation and its stored per-row predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl.plugins import Plugin
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Gate(Plugin):
    """Base of all gates.

    A gate that runs statistical tests reports each as a part of its verdict, with p-value and alpha, so that the
    confidence can be corrected over all gates (`cl.gating.verdicts`).
    """

    @property
    def columns(self) -> set[str]:
        """The data columns that it needs in addition to those that every evaluation stores."""
        return set()

    @property
    def measurements(self) -> set[str]:
        """The numbers of an evaluation that it judges, as far as settings may leave them out."""
        return set()

    @property
    def function(self) -> str | None:
        """The user-defined Python function that it calls, or None."""
        return None

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict: the measured value, the bound, and the reason in words.

        Args:
            evaluation: the metrics of challenger and champion.
            predictions: one row per test row: ``experience``, ``id``, ``target``, ``challenger``,
                ``challenger_score``, ``champion``, ``champion_score`` (0 to 1 per row: right or wrong, or
                the row's own score; a first version has no champion columns), and the `columns` of this gate.
            seed: for gates that resample.
        """
        raise NotImplementedError
