"""Test whether the champion holds the true answers to new prompts to be less probable."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import Finding
from cl.statistics import format_p_value, mean_drop_p


class AnswerNll(Detector):
    """A one-sided permutation test (Pitman, 1937) that the true answers' negative log-likelihood rose.

    That of a row is the mean of its tokens, in nats; a rise by the tolerance is no alarm. It shows that there is
    something to learn sooner than any score of what is written: every token counts.

    >>> from dataclasses import replace
    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(100), sample_snapshot(100, seed=1)
    >>> known = replace(reference, frame=reference.frame.assign(nll=[0.5, 1.0] * 50))
    >>> unknown = replace(new, frame=new.frame.assign(nll=[1.0, 1.5] * 50))
    >>> AnswerNll().detect(known, unknown, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.WRITING})
    needs_labels: ClassVar[bool] = True

    tolerance: float = Field(0.05, ge=0, description="Rise of the mean that is no alarm, in nats per token")
    min_rows: int = Field(20, ge=2, description="Rows with true answers required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        before, after = _losses(reference), _losses(new)
        if (has := min(len(before), len(after))) < self.min_rows:
            return too_few_rows(self.name, "performance", needs=self.min_rows, has=has, what="read answers")
        p_value = mean_drop_p(-before - self.tolerance, -after, seed)
        return Finding(
            detector=self.name,
            kind="performance",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=float(after.mean() - before.mean()),
            summary=f"negative log-likelihood of the true answers: {before.mean():.3f} nats per token on {len(before)} "
            f"reference rows, {after.mean():.3f} on {len(after)} new ones ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray | None:
        """Return how improbable the champion holds the true answer of each row."""
        return new.frame["nll"].fillna(-1.0).to_numpy(dtype=float) if "nll" in new.frame else None


def _losses(side: Snapshot) -> np.ndarray:
    """Return the negative log-likelihood of each true answer that was read; empty where none was kept."""
    return side.frame["nll"].dropna().to_numpy(dtype=float) if "nll" in side.frame else np.empty(0)
