"""One rule over any number that an evaluation knows, on all rows or on each group of them."""

from __future__ import annotations

import difflib
from itertools import pairwise
from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from cl.errors import ConfigError
from cl.evidence import TIE, bootstrap_means, is_loss, rows_to_decide
from cl.gates import Gate
from cl.records import NUMBERS, Evaluation, GroupVerdict, Verdict
from cl.settings import Section
from cl.slices import On, Rows, Slice, groups_of

if TYPE_CHECKING:
    import pandas as pd

ROW_NUMBERS = {"score": 1.0, "brier": -1.0}
"""Numbers that every row has, and which way is better: stored as challenger_NAME and champion_NAME."""
LOWER_IS_BETTER = ("ece", "brier", "latency", "memory", "size", "forgetting")
RANK = {"fail": 0, "undecided": 1, "pass": 2}
"""Of several verdicts the first of these is told."""
LEAST, MOST = 2_000, 50_000
"""Bootstrap samples."""


class Relative(Section):
    """How much worse than the champion the challenger may be."""

    margin: float = Field(0.0, ge=0, description="Loss that is accepted, in the number's own unit")
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="With which single rows must show a loss (paired bootstrap); numbers count as measured",
    )


class Rule(Gate):
    """A bound, a comparison with the champion, or a trend; on groups of rows the worst group counts.

    ``of`` is ``score`` (the task's row scores), ``brier``, ``forgetting`` or any number that the evaluation measured,
    such as ``latency_p95_ms``. A number of single rows refuses only when the rows show that it is beyond the bound
    (bootstrap; Efron, 1979), at a level that is shared out over the groups and over all comparing gates (Bonferroni);
    else it is undecided, with the rows that would decide. A number that was not measured is undecided.

    >>> Rule(of="latency_p95_ms", max=50).of
    'latency_p95_ms'
    """

    of: str = Field("score", description="What is judged: score, brier, forgetting, or a number of the evaluation")
    over: On = Field("all", description="all, each (experience), class, or {column|length|query|function: ...}")
    min: float | None = Field(None, description="The least that is accepted")
    max: float | None = Field(None, description="The most that is accepted")
    relative: Relative | None = Field(None, description="Beside the champion: {margin, confidence}")
    falls: int | None = Field(
        None, ge=2, description="Refuse when the score of an experience fell in each of so many versions in a row"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if self.min is self.max is self.relative is self.falls is None:
            raise ValueError("asks for nothing; set min, max, relative or falls")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        if self.falls is not None and (self.of, self.over) not in (("score", "all"), ("score", "each")):
            raise ValueError("falls: is of score, on all or each: what earlier versions' matrix tells")
        if self.of not in ROW_NUMBERS and self.over != "all":
            raise ValueError(f"over: {self.of} is one number; single rows have {', '.join(ROW_NUMBERS)}")
        return self

    @property
    def compares(self) -> bool:
        """Whether chance can make it refuse: it then has a share in the level of all gates."""
        return self.of in ROW_NUMBERS

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int, among: int = 1) -> Verdict:
        """Return the verdict on the worst group, and with it those on all.

        Raises:
            ConfigError: a column or a number is not there under this name.
        """
        if self.over == "class" and self.of == "score" and evaluation.metric == "f1":
            found = self._entities(evaluation)
        elif self.of in ROW_NUMBERS and f"challenger_{self.of}" in predictions:
            parts = groups_of(self.over, predictions)
            found = [self._rows(name, part, among=among * len(parts), seed=seed) for name, part in parts.items()]
        elif self.of in ROW_NUMBERS:
            found = [GroupVerdict(group="", verdict="undecided", why=f"{self.of} of single rows is not stored")]
        else:
            found = [self._number(evaluation)]
        if self.falls is not None:
            found += self._trend(evaluation)
        worst = min(found, key=lambda one: (RANK[one.verdict], one.rows == 0, _slack(one)))
        return Verdict(
            gate=f"rule {self.of}" + ("" if self.over == "all" else f" {_named(self.over)}"),
            passed=worst.verdict != "fail",
            undecided=worst.verdict == "undecided",
            groups=found if len(found) > 1 else [],
            **worst.model_dump(include={"rows_needed", "measured", "bound", "p_value", "rows", "why"}),
        )

    def _rows(self, group: str, rows: pd.DataFrame, *, among: int, seed: int) -> GroupVerdict:
        """Judge a number that every row has: the first condition that is shown to be broken, else the closest one."""
        better = ROW_NUMBERS[self.of]
        now = rows[f"challenger_{self.of}"].dropna().to_numpy(dtype=float)
        where = f"on {group} " if group else ""
        if not len(now):
            return GroupVerdict(group=group, verdict="undecided", rows=0, why=f"{where}there is no row to judge")
        found = []
        for bound, sign, words in ((self.min, 1.0, "at least"), (self.max, -1.0, "at most")):
            if bound is not None:
                why = f"{where}{self.of} is {now.mean():.3f} over {len(now)} rows, {words} {bound:g} is accepted"
                found.append(self._shown(group, sign * (now - bound), 0.0, now.mean(), bound, why, among, seed))
        before = rows.get(f"champion_{self.of}")
        if self.relative is not None and (before is None or before.isna().all()):
            why = f"{where}0 rows of a champion to compare with"
            found.append(GroupVerdict(group=group, verdict="pass", rows=0, why=why))
        elif self.relative is not None and before is not None:
            both = rows[before.notna()]
            gained = both[f"challenger_{self.of}"].fillna(0.0) - both[f"champion_{self.of}"]
            difference = better * gained.to_numpy(dtype=float)
            mean, margin = float(difference.mean()), self.relative.margin
            why = (
                f"{where}{self.of} is {better * mean:+.3f} beside the champion's over {len(difference)} rows, "
                f"{margin:g} worse is accepted"
            )
            found.append(self._shown(group, difference, margin, better * mean, -better * margin, why, among, seed))
        if not found:
            return GroupVerdict(group=group, verdict="pass", rows=len(now), why=f"{where}{len(now)} rows")
        return min(found, key=lambda one: RANK[one.verdict])

    def _shown(
        self,
        group: str,
        over: np.ndarray,
        margin: float,
        measured: float,
        bound: float,
        why: str,
        among: int,
        seed: int,
    ) -> GroupVerdict:
        """Judge values of which the mean may be no less than minus the margin; rows must show that they are below 0."""
        confidence = self.relative.confidence if self.relative else 0.95
        level = (1 - confidence) / among
        resamples = int(min(MOST, max(LEAST, 10 / level)))  # a level can only be shown by that many
        means = bootstrap_means(over, resamples=resamples, seed=seed)
        told = GroupVerdict(
            group=group,
            verdict="pass",
            measured=measured,
            bound=bound,
            p_value=max(1 / resamples, 1 - float((means < 0).mean())),
            rows=len(over),
            why=why,
        )
        if over.mean() >= -margin - TIE:
            return told
        if is_loss(means, len(over), level):
            return told.model_copy(update={"verdict": "fail"})
        update = {
            "verdict": "undecided",
            "rows_needed": rows_to_decide(over, level),
            "why": f"{why}; too few rows to say so",
        }
        return told.model_copy(update=update)

    def _number(self, evaluation: Evaluation) -> GroupVerdict:
        now, before = _numbers(evaluation), evaluation.champion_numbers
        if self.of not in now:
            _refuse_unknown(self.of, now)
            why = f"{self.of} was not measured: there was nothing to show it"
            return GroupVerdict(group="", verdict="undecided", why=why)
        value = now[self.of]
        broken = [
            f"{words} {bound:g} is accepted"
            for bound, sign, words in ((self.min, 1.0, "at least"), (self.max, -1.0, "at most"))
            if bound is not None and not sign * value >= sign * bound - TIE
        ]
        better = -1.0 if self.of.startswith(LOWER_IS_BETTER) else 1.0
        if self.relative is not None and self.of in before:
            worse = better * (before[self.of] - value)
            if isnan(worse) or worse > self.relative.margin + TIE:
                broken.append(f"the champion has {before[self.of]:.4g}, {self.relative.margin:g} worse is accepted")
        bound = next((one for one in (self.max, self.min) if one is not None), before.get(self.of))
        return GroupVerdict(
            group="",
            verdict="fail" if broken else "pass",
            measured=value,
            bound=bound,
            why=f"{self.of} is {value:.4g}" + (f", {'; '.join(broken)}" if broken else f" beside {_figure(bound)}"),
        )

    def _entities(self, evaluation: Evaluation) -> list[GroupVerdict]:
        """Judge the F1 of each entity type as it was measured: a sentence is of no one class."""
        found = []
        for name, scores in evaluation.per_class.items():
            before = evaluation.champion_per_class.get(name, {}).get("f1")
            least = [
                *([self.min] if self.min is not None else []),
                *([before - self.relative.margin] if self.relative is not None and before is not None else []),
            ]
            verdict = "fail" if least and scores["f1"] < max(least) - TIE else "pass"
            why = f"on {name} F1 is {scores['f1']:.3f}, at least {max(least, default=0.0):.3f} is accepted"
            bound = max(least, default=None)
            found.append(GroupVerdict(group=name, verdict=verdict, measured=scores["f1"], bound=bound, why=why))
        return found or [GroupVerdict(group="", verdict="undecided", rows=0, why="no entity type has been scored")]

    def _trend(self, evaluation: Evaluation) -> list[GroupVerdict]:
        """Judge the last rows of the accuracy matrix: one for each version that served, the challenger's last."""
        assert self.falls is not None
        matrix = list(evaluation.matrix.values())[-(self.falls + 1) :]
        shared = set.intersection(*(set(row) for row in matrix)) if len(matrix) > self.falls else set()
        if not shared:
            why = f"fewer than {self.falls + 1} versions have been tested on the same rows"
            return [GroupVerdict(group="", verdict="pass", rows=0, why=why)]
        series = {one: [row[one] for row in matrix] for one in sorted(shared)}
        if self.over == "all":
            series = {"": [float(np.mean(values)) for values in zip(*series.values(), strict=True)]}
        return [
            GroupVerdict(
                group=one,
                verdict="fail" if all(b < a - TIE for a, b in pairwise(values)) else "pass",
                measured=values[-1] - values[0],
                why=f"{one or 'the mean'} scored {', '.join(f'{value:.3f}' for value in values)} in the last versions",
            )
            for one, values in series.items()
        ]


def _numbers(evaluation: Evaluation) -> dict[str, float]:
    extra = {"forgetting": evaluation.forgetting_max} if evaluation.forgetting else {}
    return {**evaluation.numbers, **extra}


def _refuse_unknown(name: str, there: dict[str, float]) -> None:
    """Tell a wrong name from a number that could be measured and was not."""
    known = sorted({*NUMBERS, *ROW_NUMBERS, "forgetting", *there})
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ConfigError(f"gates: rule: no number '{name}'; {hint}there are: {', '.join(known)}")


def _slack(one: GroupVerdict) -> float:
    """Return how far a group is from its bound: of equal verdicts the closest is told."""
    return inf if one.measured is None or one.bound is None else abs(one.measured - one.bound)


def _named(on: Rows | Slice) -> str:
    if isinstance(on, str):
        return f"on {on.replace('_', ' ')}"
    return next(f"on {key} {value}" for key, value in on if value is not None)


def _figure(value: float | None) -> str:
    return "no bound" if value is None else f"{value:.4g}"
