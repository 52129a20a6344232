"""Values of a metric on each group of rows, for the challenger and for its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from cl.gating.metric_names import PER_ROW_METRICS, check_known, is_lower_better, may_be_undecided
from cl.gating.paired_counts import PairedCounts, score_of_rows
from cl.gating.slices import Slice, Whole, slice_columns, slice_groups
from cl.heavy import np
from cl.records import Evaluation
from cl.records.evaluation import TOGETHER

if TYPE_CHECKING:
    import pandas as pd

PER_CLASS_METRICS = ("precision", "recall", "f1")
COLUMNS = {
    "score": ("challenger_score", "champion_score"),
    "brier": ("challenger_brier", "champion_brier"),
    "forgetting": ("challenger_score", "best_score"),
}
"""Per-row metric -> the challenger's column and the baseline's."""


class UnmeasuredError(Exception):
    """A metric was not measured on these rows; the message says why."""


@dataclass(frozen=True)
class Value:
    """A metric on one group of rows."""

    group: str
    now: float
    before: float | None
    """The champion's value; for forgetting the best version's, which is zero."""
    rows: int | None = None
    gains: np.ndarray | None = None
    """The challenger's gain on each row that both models answered; positive is better."""
    counts: PairedCounts | None = None
    """What both models' scores of all rows together add up from."""

    @property
    def paired_rows(self) -> int:
        """How many rows tell whether there is a loss."""
        return len(self.counts.now) if self.counts is not None else 0 if self.gains is None else len(self.gains)


def read_values(of: str, on: Whole | Slice, evaluation: Evaluation, predictions: pd.DataFrame) -> list[Value]:
    """Return the values of a metric on each group.

    Raises:
        UnmeasuredError: it was not measured, or a column that defines the groups was not stored.
        ConfigError: no evaluation reports a metric of that name, or a slice cannot be computed.
    """
    if of in PER_ROW_METRICS:
        return [_row_value(of, name, rows) for name, rows in _groups(of, on, evaluation, predictions).items()]
    if of in TOGETHER and on != "each_class" and f"challenger_{of}" in predictions:
        groups = slice_groups(on, predictions)
        return [_together_value(of, name, rows) for name, rows in groups.items()]
    if isinstance(on, Slice):
        raise UnmeasuredError(f"the rows were stored without a column 'challenger_{of}'")
    if on == "all":
        return [_overall_value(of, evaluation)]
    now, before = _scores(of, on, evaluation), _scores(of, on, evaluation, champion=True)
    _check_known(of, evaluation, {*now})
    if of not in now:
        raise UnmeasuredError(f"{of} was not measured on {str(on).replace('_', ' ')}")
    return [Value(group, value, before.get(of, {}).get(group)) for group, value in now[of].items()]


def _groups(of: str, on: Whole | Slice, evaluation: Evaluation, table: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    missing = sorted({*slice_columns(on), COLUMNS[of][0]} - set(table.columns))
    if missing:
        raise UnmeasuredError(f"the rows were stored without a column '{missing[0]}'")
    if of == "forgetting":
        if "best_score" not in table or "experience" not in table:
            return {}
        table = table[(table["experience"] != evaluation.newest) & table["best_score"].notna()]
    return slice_groups(on, table)


def _row_value(of: str, group: str, rows: pd.DataFrame) -> Value:
    challenger, baseline = COLUMNS[of]
    values = rows[challenger].astype(float).fillna(1.0 if of == "brier" else 0.0)
    if baseline not in rows:
        return Value(group, float(values.mean()), None, len(rows))
    both = rows[baseline].notna()
    before = rows[baseline][both].astype(float)
    gains = (values[both] - before).to_numpy() * (-1.0 if of == "brier" else 1.0)
    if of == "forgetting":
        return Value(group, -float(np.mean(gains)) if len(gains) else 0.0, 0.0, len(rows), gains)
    return Value(group, float(values.mean()), float(before.mean()) if len(before) else None, len(rows), gains)


def _together_value(of: str, group: str, rows: pd.DataFrame) -> Value:
    counts, now = PairedCounts.of_rows(of, rows), score_of_rows(of, rows[f"challenger_{of}"])
    before = counts.score_before if counts is not None else None
    if counts is None or not of.startswith("corpus_"):
        return Value(group, now, before, len(rows), None if counts is None else counts.gains)
    return Value(group, now, before, len(rows), counts=counts)


def _overall_value(of: str, evaluation: Evaluation) -> Value:
    """Return a number measured on all rows, or the mean of a metric over experiences."""
    metrics = _metric_names(evaluation)
    _check_known(of, evaluation, set())
    if of in evaluation.numbers:
        return Value("all", evaluation.numbers[of], evaluation.champion_numbers.get(of))
    if of not in metrics:
        raise UnmeasuredError(f"{of} was not measured")
    now, before = (
        [score.metrics[of] for score in scores if of in score.metrics]
        for scores in (evaluation.challenger, evaluation.champion)
    )
    return Value("all", fmean(now), fmean(before) if before else None)


def _check_known(of: str, evaluation: Evaluation, there: set[str]) -> None:
    """Raise `ConfigError` if no evaluation reports such a metric, undecided or not."""
    if not may_be_undecided(of, evaluation.metric):
        check_known(of, {*there, *evaluation.numbers, *_metric_names(evaluation)})


def _metric_names(evaluation: Evaluation) -> set[str]:
    return {name for score in evaluation.challenger for name in score.metrics}


def _scores(
    of: str, on: Whole | Slice, evaluation: Evaluation, *, champion: bool = False
) -> dict[str, dict[str, float]]:
    """Return metric -> group -> value, as far as the evaluation has them."""
    if on == "each_class":
        classes = evaluation.champion_per_class if champion else evaluation.per_class
        return (
            {of: {name: metrics[of] for name, metrics in classes.items()}}
            if of in PER_CLASS_METRICS and classes
            else {}
        )
    scores = evaluation.champion if champion else evaluation.challenger
    values = {score.experience: score.metrics[of] for score in scores if of in score.metrics}
    return {of: values} if values and on == "each_experience" else {}


def relative_gain(of: str, value: Value) -> float | None:
    """Return the challenger's gain in the unit of the metric; positive is better, None: there is no baseline."""
    if value.counts is not None:
        return value.counts.difference
    if value.gains is not None:
        return float(value.gains.mean()) if len(value.gains) else None
    if value.before is None:
        return None
    return (value.before - value.now) if is_lower_better(of) else (value.now - value.before)
