"""An absolute bound above: for errors, times and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cl.gates import Gate
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Ceiling(Gate):
    """One number of the evaluation must not exceed a maximum."""

    metric: Literal["calibration_error", "latency_ms", "size_mb"] = Field(description="Which number is bounded")
    max: float = Field(ge=0, description="The most that is accepted, in the number's own unit")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict."""
        measured = float(getattr(evaluation, self.metric))
        return Verdict(
            gate=f"{self.name} {self.metric}",
            passed=measured <= self.max,
            measured=measured,
            bound=self.max,
            why=f"{self.metric} is {measured:.3g}, at most {self.max:.3g} is asked",
        )
