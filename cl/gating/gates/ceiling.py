"""An upper bound on errors, latency, size and forgetting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from cl.gating.gates import Gate
from cl.gating.metric_names import not_a_share
from cl.records import Evaluation, Verdict
from cl.statistics import TIE

if TYPE_CHECKING:
    import pandas as pd

SENTENCES = {
    "calibration_error": "the calibration error is {0:.3f}, at most {1:.3f} is accepted",
    "latency_ms": "one prediction takes {0:.1f} ms, at most {1:.1f} ms are accepted",
    "size_mb": "the weights take {0:.1f} MB, at most {1:.1f} MB are accepted",
    "forgetting_max": "the worst forgetting is {0:.3f}, at most {1:.3f} is accepted",
}


class Ceiling(Gate):
    """A number of the evaluation must not exceed a maximum.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> Ceiling(metric='size_mb', max=100).judge(evaluation, rows, seed=0).passed
    True
    """

    metric: Literal["calibration_error", "latency_ms", "size_mb", "forgetting_max"] = Field(
        description="The number that is bounded"
    )
    max: float = Field(ge=0, description="The accepted maximum, in the unit of the number")

    @model_validator(mode="after")
    def _check_max(self) -> Ceiling:
        if wrong := not_a_share(self.metric, max=self.max):
            raise ValueError(wrong)
        return self

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict."""
        name, measured = f"{self.name} {self.metric}", getattr(evaluation, self.metric)
        if measured is None:
            why = f"{self.metric} is not measured: no test row decides it"
            return Verdict(gate=name, passed=True, undecided=True, bound=self.max, why=why)
        return Verdict(
            gate=name,
            passed=measured <= self.max + TIE,
            measured=measured,
            bound=self.max,
            why=SENTENCES[self.metric].format(measured, self.max),
        )
