"""What a rule asks of a number on groups of rows: a bound, no loss beside the champion, no long fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cl.gating.values import Value, relative_gain
from cl.gating.verdicts import format_value, rows_needed
from cl.records import Part
from cl.statistics import TIE, loss_p, rows_to_decide, sign_p
from cl.statistics import format_p_value as told_p

Matrix = Mapping[str, Mapping[str, float]]


def absolute_bound(of: str, values: Sequence[Value], *, least: float | None, most: float | None) -> list[Part]:
    """Return what bounds make of values, the worst first; a value that is no number is the worst."""
    parts = []
    for value in values:
        low = least is not None and not value.now >= least - TIE
        high = most is not None and not value.now <= most + TIE
        bound = least if least is not None and (low or most is None) else most
        asked = (
            f"at least {parse_figure(bound)} is asked"
            if bound == least
            else f"at most {parse_figure(bound)} is accepted"
        )
        parts.append(
            Part(
                group=value.group,
                verdict="fail" if low or high else "pass",
                measured=value.now,
                bound=bound,
                rows=value.rows,
                why=f"{format_bound(of, value)} is {parse_figure(value.now)}, {asked}",
            )
        )
    return sorted(parts, key=lambda one: (one.verdict != "fail", _slack(one, least)))


class Relative(BaseModel):
    """Not worse than the champion by more than a margin; of forgetting, than the best version ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(0.0, ge=0, description="Loss that is accepted, in the number's own unit")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="With which single rows must show that there is a loss")
    test: Literal["bootstrap", "mcnemar"] = Field(
        "bootstrap", description="Paired, over rows; mcnemar: the exact test of the signs (McNemar, 1947)"
    )
    resamples: int = Field(2_000, ge=100, description="Bootstrap samples")

    def parts(self, of: str, values: Sequence[Value], *, seed: int) -> list[Part]:
        """Return what the margin makes of values, the worst first; of those with rows, together at the confidence."""
        tested = [one for one in values if one.gains is not None and len(one.gains)]
        p_values = [self._p_value(one.gains, seed) for one in tested if one.gains is not None]
        losses = format_value([(p_value, self.alpha) for p_value in p_values])
        found = [
            self._tested(of, one, p_value, is_loss, among=len(tested))
            for one, p_value, is_loss in zip(tested, p_values, losses, strict=True)
        ]
        found += [self._plain(of, one) for one in values if one not in tested]
        return sorted(found, key=lambda one: (one.verdict == "pass", np.inf if one.measured is None else one.measured))

    @property
    def alpha(self) -> float:
        """The chance of a false refusal that is accepted."""
        return round(1 - self.confidence, 12)

    def _p_value(self, gains: np.ndarray, seed: int) -> float:
        return sign_p(gains) if self.test == "mcnemar" else loss_p(gains, resamples=self.resamples, seed=seed)

    def _tested(self, of: str, value: Value, p_value: float, is_loss: bool, *, among: int) -> Part:
        assert value.gains is not None
        measured = float(value.gains.mean())
        beyond = measured < -self.margin - TIE
        why = self._why(of, value, measured)
        if beyond:
            why += (
                f"; that is a loss ({told_p(p_value)})"
                if is_loss
                else f"; too few rows to call it one ({told_p(p_value)})"
            )
        rows = rows_needed(rows_to_decide(value.gains, self.alpha), alpha=self.alpha, among=among)
        return Part(
            group=value.group,
            verdict="pass" if not beyond else "fail" if is_loss else "undecided",
            measured=measured,
            bound=-self.margin,
            p_value=p_value,
            alpha=self.alpha,
            rows=len(value.gains),
            rows_needed=rows if beyond and not is_loss else None,
            why=why,
        )

    def _plain(self, of: str, value: Value) -> Part:
        measured = relative_gain(of, value)
        if measured is None:
            why = f"there is no champion to compare {format_bound(of, value)} with, {parse_figure(value.now)}"
            return Part(group=value.group, verdict="pass", bound=-self.margin, rows=value.rows, why=why)
        return Part(
            group=value.group,
            verdict="pass" if measured >= -self.margin - TIE else "fail",
            measured=measured,
            bound=-self.margin,
            why=self._why(of, value, measured),
        )

    def _why(self, of: str, value: Value, measured: float) -> str:
        beside = "the best version's" if of == "forgetting" else "the champion's"
        was = "" if value.before is None or of == "forgetting" else f", {parse_figure(value.before)}"
        rows = "" if value.gains is None else f" over {len(value.gains)} rows"
        what = f"the score{_on(value)}" if of == "forgetting" else format_bound(of, value)
        better = "better" if measured >= 0 else "worse"
        return (
            f"{what} is {parse_figure(abs(measured))} {better} than {beside}{was}{rows}, "
            f"a loss of up to {parse_figure(self.margin)} is accepted"
        )


class Trend(BaseModel):
    """Not so many falls in a row, from version to version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    over: int = Field(ge=1, description="So many falls in a row are too many")

    def parts(self, matrix: Matrix, *, each: bool) -> list[Part]:
        """Return the falls that the accuracy matrix ends with, the most first.

        A row of the matrix is an update that came to serve, in their order, this challenger last. On each experience,
        a fall is a lower score than in the row before that has this experience; on all, a lower mean over the
        experiences that both rows have, so that a new and harder one is no fall.
        """
        falls = _falls_of_each(matrix) if each else {"all": _falls(_steps(list(matrix.values())))}
        ordered = sorted(falls.items(), key=lambda one: -one[1])
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


def parse_figure(value: float | None) -> str:
    """Return a number as people read it: three digits after the point, one where it is large."""
    return "-" if value is None else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def format_bound(of: str, value: Value) -> str:
    """Return a number's name with the group it is of."""
    return f"{of}{_on(value)}"


def _on(value: Value) -> str:
    return "" if value.group == "all" else f" on {value.group}"


def _slack(part: Part, least: float | None) -> float:
    if part.measured is None or part.measured != part.measured or part.bound is None:
        return -np.inf
    return part.measured - part.bound if part.bound == least else part.bound - part.measured


def _falls_of_each(matrix: Matrix) -> dict[str, int]:
    newest = list(matrix.values())[-1] if matrix else {}
    return {
        one: _falls([b - a for a, b in pairwise(row[one] for row in matrix.values() if one in row)]) for one in newest
    }


def _steps(rows: Sequence[Mapping[str, float]]) -> list[float]:
    """Return the change of the mean from row to row, over what both have."""
    shared = [(before, after, [one for one in after if one in before]) for before, after in pairwise(rows)]
    return [fmean(after[one] - before[one] for one in both) if both else 0.0 for before, after, both in shared]


def _falls(steps: Sequence[float]) -> int:
    count = 0
    for step in reversed(steps):
        if step >= -TIE:
            break
        count += 1
    return count
