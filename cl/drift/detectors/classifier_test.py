"""Test whether a classifier can tell new embeddings from those of the reference."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.drift.detectors import Detector, project_on_shift
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import Finding
from cl.statistics import format_p_value


class ClassifierTest(Detector):
    """The classifier two-sample test (Lopez-Paz and Oquab, 2017) on embeddings.

    Logistic regression learns to separate the sides on one half of the rows and ranks the other half, and vice versa.
    The Mann-Whitney test gives an exact p-value for each half; twice the mean of both is a valid p-value however the
    halves depend on each other (Vovk and Wang, 2020).

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, shift=1.0)
    >>> ClassifierTest().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.EMBEDDINGS})

    max_rows: int = Field(1_000, ge=20, description="Rows compared per side, at most; drawn at random")
    min_rows: int = Field(40, ge=8, description="Rows required on each side")
    strength: float = Field(0.01, gt=0, description="Inverse of the L2 penalty on the classifier")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; the statistic is the mean area under the ROC curve."""
        has = min(len(reference.embeddings), len(new.embeddings))
        if has < self.min_rows:
            return too_few_rows(self.name, "inputs", needs=self.min_rows, has=has)
        rng = np.random.default_rng(seed)
        before, after = (rng.permutation(side.embeddings)[: self.max_rows] for side in (reference, new))
        if np.allclose(np.concatenate([before, after]), before[0]):
            return too_few_rows(self.name, "inputs", needs=2, has=1, what="different rows")
        results = [_separate(before, after, test=half, strength=self.strength) for half in (0, 1)]
        p_value = min(1.0, 2 * float(np.mean([result["p_value"] for result in results])))
        area = float(np.mean([result["area"] for result in results]))
        return Finding(
            detector=self.name,
            kind="inputs",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=area,
            summary=f"a classifier separating {len(after)} new rows from {len(before)} reference rows: "
            f"area under the curve {area:.2f} ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return how far each new row lies in the direction in which the embeddings moved."""
        return project_on_shift(reference, new)


def _separate(before: np.ndarray, after: np.ndarray, *, test: int, strength: float) -> dict[str, float]:
    """Return the area under the ROC curve and its p-value on one half of both sides, trained on the other half."""
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    halves = [(side[1 - test :: 2], side[test::2]) for side in (before, after)]
    rows = np.concatenate([train for train, _ in halves])
    sides = np.repeat([0, 1], [len(train) for train, _ in halves])
    logistic = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
    classifier = make_pipeline(StandardScaler(), logistic).fit(rows, sides)
    old, new = (classifier.decision_function(held_out) for _, held_out in halves)
    result = mannwhitneyu(new, old, alternative="greater")
    return {"area": float(result.statistic) / (len(new) * len(old)), "p_value": float(result.pvalue)}
