"""A rule over any number of an evaluation: on all rows, each experience, each class, or a slice of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from cl.gating.conditions import Relative, Trend, absolute_bound
from cl.gating.gates import Gate
from cl.gating.metric_names import OF_ROWS
from cl.gating.slices import Slice, Whole
from cl.gating.values import UnmeasuredError, Value, read_values
from cl.gating.verdicts import conclude
from cl.records import Evaluation, Part, Verdict
from cl.records.evaluation import STORED

if TYPE_CHECKING:
    import pandas as pd


class Rule(Gate):
    """A number must keep its bounds, must not be worse than the champion's, or must not fall again and again.

    Of several groups the worst counts. ``score`` and ``brier`` are means over rows (a row of tokens scores the share
    that is right), and ``forgetting`` is what rows of past experiences lost beside the best version ever: these are
    known on any group. The other numbers are known of all rows, the task's metrics on each experience as well, and
    precision, recall and f1 on each class.
    """

    of: str = Field("score", description="score, brier, forgetting, a metric of the task, or any measured number")
    on: Whole | Slice = Field(
        "all",
        description="all, each_experience, each_class, {column: NAME}, {length: [50, 200]}, {query: ...}, "
        "{function: module:function}",
    )
    min: float | None = Field(None, description="The least that is accepted")
    max: float | None = Field(None, description="The most that is accepted")
    relative: Relative | None = Field(None, description="To the champion: {margin: 0.02, confidence: 0.95}")
    trend: Trend | None = Field(None, description="Of the score: {over: 3}, three falls in a row are too many")
    min_rows: int = Field(1, ge=1, description="A group with fewer test rows is undecided")

    @model_validator(mode="after")
    def _asks_for_something_it_can_know(self) -> Rule:
        if self.min is None and self.max is None and self.relative is None and self.trend is None:
            raise ValueError("asks for nothing; give min, max, relative or trend")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        if self.trend is not None and (self.of != "score" or self.on not in ("all", "each_experience")):
            raise ValueError("trend is known of score, on all or each_experience")
        if isinstance(self.on, Slice) and self.of not in OF_ROWS:
            raise ValueError(f"'{self.of}' is not known of single rows; on a slice there are: {', '.join(OF_ROWS)}")
        if self.relative is not None and self.relative.test == "mcnemar" and self.of not in ("score", "forgetting"):
            raise ValueError(f"mcnemar compares right and wrong answers, not '{self.of}'")
        return self

    @property
    def title(self) -> str:
        """The rule's name among verdicts: of what, and on which rows."""
        return f"{self.name} {self.of}" + ("" if self.on == "all" else f" on {self.on}")

    @property
    def columns(self) -> set[str]:
        """The columns of the data that an evaluation must store for it."""
        return self.on.columns - STORED if isinstance(self.on, Slice) else set()

    @property
    def function(self) -> str | None:
        """The function that it calls, if there is one."""
        return self.on.function if isinstance(self.on, Slice) else None

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the group that decided.

        Raises:
            ConfigError: no evaluation has a number of this name, or a slice cannot be computed.
        """
        try:
            values = read_values(self.of, self.on, evaluation, predictions)
        except UnmeasuredError as error:
            return self._concluded([Part(verdict="undecided", bound=self._bound, why=f"not measured: {error}")])
        if not values:
            why = (
                "no row of the past to forget: 0 rows" if self.of == "forgetting" else "there are 0 test rows to judge"
            )
            known: Any = "pass" if self.of == "forgetting" else "undecided"
            return self._concluded([Part(verdict=known, bound=self._bound, rows=0, why=why)])
        few = [one for one in values if one.rows is not None and one.rows < self.min_rows]
        enough = [one for one in values if one not in few]
        return self._concluded([*self._parts(evaluation, enough, seed), *map(self._too_few, few)])

    def _parts(self, evaluation: Evaluation, values: list[Value], seed: int) -> list[Part]:
        parts: list[Part] = []
        if values and (self.min is not None or self.max is not None):
            parts += absolute_bound(self.of, values, least=self.min, most=self.max)
        if values and self.relative is not None:
            parts += self.relative.parts(self.of, values, seed=seed)
        if self.trend is not None:
            parts += self.trend.parts(evaluation.matrix, each=self.on == "each_experience")
        return parts

    def _too_few(self, value: Value) -> Part:
        where = "" if value.group == "all" else f" on {value.group}"
        why = f"{value.rows} test rows{where} are too few to judge, {self.min_rows} are asked for"
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

    def _concluded(self, parts: list[Part]) -> Verdict:
        return conclude(self.title, parts, on=str(self.on))
