"""An absolute bound below: no experience may score less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cl.gates import Gate
from cl.records import Evaluation, Score, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Floor(Gate):
    """The challenger's score must reach a minimum: on the worst experience, the newest, or in the mean."""

    metric: str = Field("score", description="score (the task's main metric), or another name of its metrics")
    min: float = Field(description="The least that is accepted, 0 to 1")
    on: Literal["each", "newest", "mean"] = Field("each", description="each: the worst experience counts")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the experience that decided."""
        values = {score.experience: self._value(score) for score in evaluation.challenger}
        if self.on == "mean":
            where, measured = "the mean over experiences", sum(values.values()) / max(1, len(values))
        else:
            scored = list(values.items())[-1:] if self.on == "newest" else list(values.items())
            where, measured = min(scored, key=lambda item: item[1])
        passed = measured >= self.min
        return Verdict(
            gate=self.name,
            passed=passed,
            measured=measured,
            bound=self.min,
            why=f"{where} scores {measured:.3f}, at least {self.min:.3f} is asked",
        )

    def _value(self, score: Score) -> float:
        return score.value if self.metric == "score" else score.metrics.get(self.metric, 0.0)
