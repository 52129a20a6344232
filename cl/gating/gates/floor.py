"""A lower bound on the score of every experience, of the newest, or of their mean."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cl.errors import ConfigError
from cl.gating.gates import Gate
from cl.gating.metric_names import may_be_undecided
from cl.records import Evaluation, Verdict
from cl.records.evaluation import decided
from cl.statistics import TIE

if TYPE_CHECKING:
    import pandas as pd


class Floor(Gate):
    """The challenger's score must reach a minimum on the worst experience, on the newest, or on average.

    An experience whose score is NaN counts as the worst. One whose test rows cannot decide a score is left out; if none
    is left, the verdict is undecided.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> Floor(min=0.7).judge(evaluation, rows, seed=0).why
    'may scores 0.750, at least 0.700 is required'
    """

    metric: str = Field(
        "score", description="score (the task's main metric), any other metric of the task, or accuracy"
    )
    min: float = Field(ge=0, le=1, description="The accepted minimum, 0 to 1")
    over: Literal["each", "mean", "newest"] = Field(
        "each", description="each: the worst experience decides; mean: the average; newest: the newest alone"
    )

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the experience that decided.

        Raises:
            ConfigError: no experience has a metric of this name; the message lists the available ones.
        """
        values = self._values(evaluation)
        newest = evaluation.newest or next(reversed(values), "no experience")
        if not values or (self.over == "newest" and newest not in values):
            why = f"{newest} does not decide {self._metric_words} of at least {self.min:.3f}"
            why += f": {evaluation.undecided[newest]}" if newest in evaluation.undecided else ""
            return Verdict(gate=self.name, passed=True, undecided=True, bound=self.min, why=why)
        if self.over == "mean":
            where, measured = f"the mean of {len(values)} experiences", sum(values.values()) / len(values)
        else:
            where = newest if self.over == "newest" else min(values, key=lambda name: _nan_as_worst(values[name]))
            measured = values[where]
        left_out = [] if self.over == "newest" else [name for name in evaluation.undecided if name not in values]
        return Verdict(
            gate=self.name,
            passed=measured >= self.min - TIE,
            measured=measured,
            bound=self.min,
            why=f"{where} scores {measured:.3f}{self._metric_suffix}, at least {self.min:.3f} is required"
            + _describe_left_out(evaluation, left_out),
        )

    @property
    def _metric_words(self) -> str:
        return "a score" if self.metric == "score" else self.metric

    @property
    def _metric_suffix(self) -> str:
        return "" if self.metric == "score" else f" in {self.metric}"

    def _values(self, evaluation: Evaluation) -> dict[str, float]:
        """Return experience -> value; `accuracy` is the main metric (ACC) if the task has no other of that name."""
        scores = evaluation.challenger
        known = sorted({name for score in scores for name in score.metrics})
        if self.metric == "score" or (self.metric == "accuracy" and "accuracy" not in known):
            return decided(scores)
        if scores and self.metric not in known and not may_be_undecided(self.metric, evaluation.metric):
            raise ConfigError(f"gates: floor: no metric '{self.metric}'; there are: score, {', '.join(known)}")
        return {score.experience: score.metrics[self.metric] for score in scores if self.metric in score.metrics}


def _describe_left_out(evaluation: Evaluation, names: list[str]) -> str:
    if not names:
        return ""
    more = f", and {len(names) - 1} more" if len(names) > 1 else ""
    return f"; {names[-1]} is left out: {evaluation.undecided[names[-1]]}{more}"


def _nan_as_worst(value: float) -> float:
    return -inf if isnan(value) else value
