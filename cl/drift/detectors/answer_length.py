"""Test whether the champion's answers changed in length."""

from __future__ import annotations

import warnings

from pydantic import Field

from cl.drift.detectors._answers import AnswerDetector, answers_of
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value
from cl.tasks import split_words


class AnswerLength(AnswerDetector):
    """The two-sample Kolmogorov-Smirnov test on the words of each answer that the champion writes.

    It needs no labels. In writing that has no spaces between words, each letter counts. Ties make the test
    conservative, not wrong.

    >>> from dataclasses import replace
    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(100), sample_snapshot(100, seed=1)
    >>> brief = replace(reference, frame=reference.frame.assign(answer=["we send one", "we send a new one"] * 50))
    >>> long = replace(new, frame=new.frame.assign(answer="we are sorry and send a new one at once"))
    >>> AnswerLength().detect(brief, long, alpha=0.01, seed=0).drifted
    True
    """

    min_rows: int = Field(20, ge=2, description="Answers required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        from scipy.stats import ks_2samp

        before, after = _lengths(reference), _lengths(new)
        if (has := min(len(before), len(after))) < self.min_rows:
            return too_few_rows(self.name, "predictions", needs=self.min_rows, has=has, what="written answers")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns when it uses the asymptotic p-value
            result = ks_2samp(before, after)
        p_value, statistic = float(result.pvalue), float(result.statistic)
        return Finding(
            detector=self.name,
            kind="predictions",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=statistic,
            summary=f"words of the champion's answers: mean {before.mean():.1f} to {after.mean():.1f}, distributions "
            f"{statistic:.2f} apart ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray | None:
        """Return how long each answer is, or how short if answers became shorter."""
        before, after = _lengths(reference), _lengths(new)
        if not len(before) or not len(after):
            return None
        result: np.ndarray = after if after.mean() > before.mean() else after.max() - after
        return result


def _lengths(side: Snapshot) -> np.ndarray:
    return np.array([float(len(split_words(answer))) for answer in answers_of(side)])
