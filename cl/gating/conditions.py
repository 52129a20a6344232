"""Conditions that a rule sets on a value: absolute bounds, no loss against the champion, no repeated falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cl.gating.values import Value, relative_gain
from cl.gating.verdicts import rescale_rows_needed, significant_after_holm
from cl.heavy import np
from cl.records import Evaluation, Part
from cl.statistics import TIE, format_p_value, loss_p, rows_to_decide, sign_p


def check_bounds(of: str, values: Sequence[Value], *, least: float | None, most: float | None) -> list[Part]:
    """Check values against absolute bounds; return one part per value, the worst first, NaN before all others."""
    parts = []
    for value in values:
        low = least is not None and not value.now >= least - TIE
        high = most is not None and not value.now <= most + TIE
        bound = least if least is not None and (low or most is None) else most
        requirement = (
            f"at least {format_number(bound)} is required"
            if bound == least
            else f"at most {format_number(bound)} is accepted"
        )
        parts.append(
            Part(
                group=value.group,
                verdict="fail" if low or high else "pass",
                measured=value.now,
                bound=bound,
                rows=value.rows,
                why=f"{name_with_group(of, value)} is {format_number(value.now)}, {requirement}",
            )
        )
    return sorted(parts, key=lambda part: (part.verdict != "fail", _slack(part, least)))


class Relative(BaseModel):
    """No worse than the champion by more than a margin; for forgetting, than the best version so far."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    margin: float = Field(0.0, ge=0, description="Accepted loss, in the unit of the value")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence with which the rows must show a loss")
    test: Literal["bootstrap", "mcnemar"] = Field(
        "bootstrap", description="Paired test over rows; mcnemar: the exact sign test (McNemar, 1947)"
    )
    resamples: int = Field(2_000, ge=100, description="Number of bootstrap samples")

    def parts(self, of: str, values: Sequence[Value], *, seed: int) -> list[Part]:
        """Check values against the margin; return one part per value, the worst first.

        Values with per-row gains are tested together at the confidence (Holm).
        """
        tested = [value for value in values if value.paired_rows]
        p_values = [self._p_value(value, seed) for value in tested]
        losses = significant_after_holm([(p_value, self.alpha) for p_value in p_values])
        parts = [
            self._judge_tested(of, value, p_value, is_loss, among=len(tested), seed=seed)
            for value, p_value, is_loss in zip(tested, p_values, losses, strict=True)
        ]
        parts += [self._judge_untested(of, value) for value in values if value not in tested]
        return sorted(
            parts, key=lambda part: (part.verdict == "pass", np.inf if part.measured is None else part.measured)
        )

    @property
    def alpha(self) -> float:
        """The accepted probability of a false refusal."""
        return round(1 - self.confidence, 12)

    def _p_value(self, value: Value, seed: int) -> float:
        if value.counts is not None:
            return value.counts.loss_p(resamples=self.resamples, seed=seed)
        assert value.gains is not None
        if self.test == "mcnemar":
            return sign_p(value.gains)
        return loss_p(value.gains, resamples=self.resamples, seed=seed)

    def _judge_tested(self, of: str, value: Value, p_value: float, is_loss: bool, *, among: int, seed: int) -> Part:
        measured = relative_gain(of, value)
        assert measured is not None
        exceeded = measured < -self.margin - TIE
        why = self._why(of, value, measured, seed)
        if exceeded:
            why += (
                f"; that is a loss ({format_p_value(p_value)})"
                if is_loss
                else f"; too few rows to call it a loss ({format_p_value(p_value)})"
            )
        undecided = exceeded and not is_loss
        rows = self._rows_to_decide(value, seed) if undecided else None
        return Part(
            group=value.group,
            verdict="pass" if not exceeded else "fail" if is_loss else "undecided",
            measured=measured,
            bound=-self.margin,
            p_value=p_value,
            alpha=self.alpha,
            rows=value.paired_rows,
            rows_needed=rescale_rows_needed(rows, alpha=self.alpha, among=among),
            why=why,
        )

    def _rows_to_decide(self, value: Value, seed: int) -> int | None:
        if value.counts is not None:
            return value.counts.rows_to_decide(self.alpha, resamples=self.resamples, seed=seed)
        assert value.gains is not None
        return rows_to_decide(value.gains, self.alpha)

    def _judge_untested(self, of: str, value: Value) -> Part:
        measured = relative_gain(of, value)
        if measured is None:
            why = f"{name_with_group(of, value)} is {format_number(value.now)}; there is no champion to compare it with"
            return Part(group=value.group, verdict="pass", bound=-self.margin, rows=value.rows, why=why)
        return Part(
            group=value.group,
            verdict="pass" if measured >= -self.margin - TIE else "fail",
            measured=measured,
            bound=-self.margin,
            why=self._why(of, value, measured, seed=0),
        )

    def _why(self, of: str, value: Value, measured: float, seed: int) -> str:
        baseline = "the best version's" if of == "forgetting" else "the champion's"
        before = "" if value.before is None or of == "forgetting" else f", {format_number(value.before)}"
        rows = f" over {value.paired_rows} rows" if value.paired_rows or value.gains is not None else ""
        if value.counts is not None:
            bounds = value.counts.interval(resamples=self.resamples, seed=seed)
            rows += f" (95% interval {bounds.low:+.3f} to {bounds.high:+.3f})"
        subject = f"the score{_on(value)}" if of == "forgetting" else name_with_group(of, value)
        better = "better" if measured >= 0 else "worse"
        return (
            f"{subject} is {format_number(abs(measured))} {better} than {baseline}{before}{rows}, "
            f"a loss of up to {format_number(self.margin)} is accepted"
        )


class Trend(BaseModel):
    """No run of consecutive falls from version to version."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    over: int = Field(ge=1, description="Number of consecutive falls that fails the rule")

    def parts(self, evaluation: Evaluation, *, each: bool) -> list[Part]:
        """Count the consecutive falls at the end of the accuracy matrix, the most first.

        Each row of the matrix is an update that was promoted, in order; the last is this challenger. On each
        experience, a fall is a lower score than in the previous row with that experience. On all, it is a lower mean
        over the experiences that both rows have, so a new and harder experience does not count as a fall.
        """
        every = {name: evaluation.falls.get(name, 0) for name in evaluation.row}
        falls = every if each else {"all": evaluation.falls_of_mean}
        ordered = sorted(falls.items(), key=lambda item: -item[1])
        return [
            Part(
                group=group,
                verdict="fail" if count >= self.over else "pass",
                measured=count,
                bound=self.over,
                why=f"the score{'' if group == 'all' else f' on {group}'} fell {count} times in a row, "
                f"{self.over} are too many",
            )
            for group, count in ordered
        ]


def format_number(value: float | None) -> str:
    """Format a number: three decimals, or one decimal from 10 upwards."""
    return "-" if value is None else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def name_with_group(of: str, value: Value) -> str:
    """Return the name of a value with the group that it was measured on."""
    return f"{of}{_on(value)}"


def _on(value: Value) -> str:
    return "" if value.group == "all" else f" on {value.group}"


def _slack(part: Part, least: float | None) -> float:
    if part.measured is None or part.measured != part.measured or part.bound is None:
        return -np.inf
    return part.measured - part.bound if part.bound == least else part.bound - part.measured
