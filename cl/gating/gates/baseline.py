"""The challenger must not be worse than the strongest of the simplest things that could work."""

from __future__ import annotations

from typing import ClassVar

from cl.gating.gates.no_regression import NoRegression


class Baseline(NoRegression):
    """Paired bootstrap of challenger minus baseline over test rows, as `no_regression` compares it with the champion.

    The baseline is the best of the majority class, the nearest class mean, and logistic regression on frozen features
    that is refitted on all rows. It needs ``evaluation.baselines``.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> Baseline().judge(evaluation, rows, seed=0).why
    'no baseline was measured'
    """

    other: ClassVar[str] = "baseline"

    absent: ClassVar[str] = "no baseline was measured"

    @property
    def measurements(self) -> set[str]:
        """The strongest baseline's score."""
        return {"over_baseline"}
