"""A rule on any metric of an evaluation: on all rows, each experience, each class, or slices of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from cl.gating.conditions import Relative, Trend, check_bounds
from cl.gating.gates import Gate
from cl.gating.metric_names import SLICED_METRICS, not_a_share
from cl.gating.slices import Slice, Whole
from cl.gating.values import UnmeasuredError, Value, read_values
from cl.gating.verdicts import conclude
from cl.records import Evaluation, Part, Verdict
from cl.records.evaluation import STORED

if TYPE_CHECKING:
    import pandas as pd


class Rule(Gate):
    """A metric must stay within bounds, must not be worse than the champion's, or must not keep falling.

    Of several groups the worst decides. ``score`` and ``brier`` are means over rows (a row of tokens scores the share
    that is right), and ``forgetting`` is the loss on rows of past experiences against the best version so far: these
    are available on any group. So are, of written answers, ``corpus_chrf``, ``corpus_bleu``, ``rouge_l`` and
    ``exact_match``, over the rows of the group together. All other metrics are available on all rows, the task's
    metrics also on each experience, and precision, recall and f1 also on each class.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> Rule(of='score', on='each_class', min=0.9).judge(evaluation, rows, seed=0).passed
    False
    """

    of: str = Field("score", description="score, brier, forgetting, a metric of the task, or any other measurement")
    on: Whole | Slice = Field(
        "all",
        description="all, each_experience, each_class, {column: NAME}, {length: [50, 200]}, {query: ...}, "
        "{function: module:function}",
    )
    min: float | None = Field(None, description="The accepted minimum")
    max: float | None = Field(None, description="The accepted maximum")
    relative: Relative | None = Field(
        None, description="Comparison with the champion: {margin: 0.02, confidence: 0.95}"
    )
    trend: Trend | None = Field(None, description="Trend of the score: {over: 3} fails after three consecutive falls")
    min_rows: int = Field(1, ge=1, description="A group with fewer test rows is undecided")

    @model_validator(mode="after")
    def _check_conditions(self) -> Rule:
        if self.min is None and self.max is None and self.relative is None and self.trend is None:
            raise ValueError("has no condition; give min, max, relative or trend")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        margin = None if self.relative is None else self.relative.margin
        if wrong := not_a_share(self.of, min=self.min, max=self.max, margin=margin):
            raise ValueError(wrong)
        if self.trend is not None and (self.of != "score" or self.on not in ("all", "each_experience")):
            raise ValueError("trend is available for score only, on all or each_experience")
        if isinstance(self.on, Slice) and self.of not in SLICED_METRICS:
            raise ValueError(f"'{self.of}' has no per-row values; on a slice there are: {', '.join(SLICED_METRICS)}")
        if self.relative is not None and self.relative.test == "mcnemar" and self.of not in ("score", "forgetting"):
            raise ValueError(f"mcnemar compares right and wrong answers, not '{self.of}'")
        return self

    @property
    def title(self) -> str:
        """The name of the rule in verdicts: its metric and its rows."""
        return f"{self.name} {self.of}" + ("" if self.on == "all" else f" on {self.on}")

    @property
    def columns(self) -> set[str]:
        """The data columns that an evaluation must store for it."""
        return self.on.columns - STORED if isinstance(self.on, Slice) else set()

    @property
    def measurements(self) -> set[str]:
        """The number that it judges."""
        return {self.of}

    @property
    def function(self) -> str | None:
        """The user-defined function that it calls, or None."""
        return self.on.function if isinstance(self.on, Slice) else None

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the group that decided.

        Raises:
            ConfigError: no evaluation reports a metric of this name, or a slice cannot be computed.
        """
        try:
            values = read_values(self.of, self.on, evaluation, predictions)
        except UnmeasuredError as error:
            return self._conclude([Part(verdict="undecided", bound=self._bound, why=f"not measured: {error}")])
        if not values:
            why = (
                "there are no past rows to forget: 0 rows"
                if self.of == "forgetting"
                else "there are 0 test rows to judge"
            )
            outcome: Any = "pass" if self.of == "forgetting" else "undecided"
            return self._conclude([Part(verdict=outcome, bound=self._bound, rows=0, why=why)])
        small = [value for value in values if value.rows is not None and value.rows < self.min_rows]
        enough = [value for value in values if value not in small]
        return self._conclude([*self._parts(evaluation, enough, seed), *map(self._undecided_part, small)])

    def _parts(self, evaluation: Evaluation, values: list[Value], seed: int) -> list[Part]:
        parts: list[Part] = []
        if values and (self.min is not None or self.max is not None):
            parts += check_bounds(self.of, values, least=self.min, most=self.max)
        if values and self.relative is not None:
            parts += self.relative.parts(self.of, values, seed=seed)
        if self.trend is not None:
            parts += self.trend.parts(evaluation, each=self.on == "each_experience")
        return parts

    def _undecided_part(self, value: Value) -> Part:
        where = "" if value.group == "all" else f" on {value.group}"
        why = f"{value.rows} test rows{where} are too few to judge, {self.min_rows} are required"
        return Part(
            group=value.group,
            verdict="undecided",
            bound=self._bound,
            rows=value.rows,
            rows_needed=self.min_rows,
            why=why,
        )

    @property
    def _bound(self) -> float | None:
        return self.min if self.min is not None else self.max

    def _conclude(self, parts: list[Part]) -> Verdict:
        return conclude(self.title, parts, on=str(self.on))
