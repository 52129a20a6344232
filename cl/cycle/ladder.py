"""Climb the ladder: train at its rungs, and take the best challenger that passes all gates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cl.config import Config
from cl.cycle.cost import Cost, UpdateSizes, expected_cost
from cl.errors import ConfigError, DivergedError
from cl.records import Challenger, DriftType, GateReport, LadderResult, RungResult, Training
from cl.records.training import validation_rank

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """How a rung is tried: ``train`` takes its name and configuration, ``judge`` its name and what was trained.

    The name is None if there is no ladder. To judge is to evaluate and to apply the gates.
    """

    train: Callable[[str | None, Config], Training]
    judge: Callable[[str | None, Training], Challenger]


@dataclass(frozen=True)
class Climb:
    """Where an update begins to climb, and what is known about the cost.

    ``begin`` is the first rung; None: there is no ladder, and the update is tried once. ``types`` are the types of
    drift that caused it, ``sizes`` the numbers of rows to learn, ``past`` the climbs of earlier updates, oldest first,
    which show what rungs cost.
    """

    begin: str | None
    types: Sequence[DriftType]
    sizes: UpdateSizes
    past: Sequence[LadderResult] = ()


@dataclass(frozen=True)
class Climbed:
    """The challenger that an update ended with, and the result of each rung; None: there is no ladder."""

    challenger: Challenger
    result: LadderResult | None


def climb_ladder(
    config: Config,
    climb: Climb,
    attempt: Attempt,
    *,
    enough: Callable[[GateReport], bool] = lambda gates: gates.passed,
    give_up: Callable[[], None] = lambda: None,
) -> Climbed:
    """Train at rungs upwards from the first one, and return the challenger that passes all gates.

    With ``climb.pick: best``, all rungs are trained, and the one that does best on validation rows is judged first;
    with ``first``, each rung is judged before the next is trained. Each starts from the champion, never from a refused
    challenger. A rung whose expected cost exceeds the rest of the budget is skipped; if no rung from the first on is
    left, the most expensive rung below it that fits is tried instead. A rung that is not due again, or not needed at
    the score of a lower one, is skipped too, and tried after all where no other passes. A rung whose training diverges
    counts as failed, like one that a gate refuses.

    Args:
        config: the ladder and its budget, under ``climb``.
        climb: where it begins, and what rungs have cost before.
        attempt: trains and judges at a rung.
        enough: returns whether a challenger with these verdicts ends the climb.
        give_up: called when every attempted rung has diverged, so that a later run tries them again.

    Raises:
        ConfigError: the budget is too small for any rung; nothing was trained.
        DivergedError: every attempted rung has diverged.
    """
    if climb.begin is None:
        return Climbed(attempt.judge(None, attempt.train(None, config)), None)
    ascent = _Ascent(config, climb, attempt, enough)
    names = [rung.name for rung in config.ladder]
    start = names.index(climb.begin)
    for name in names[start:]:
        ascent.train(name)
        if config.climb.pick == "first" and ascent.judge_best():
            break
    for name in reversed(names[:start]):
        if not ascent.trained and ascent.challenger is None:
            ascent.train(name)
    ascent.judge_all()
    for name in ascent.spared:
        if not ascent.passed:
            ascent.train(name, spare=False)
            ascent.judge_all()
    if ascent.challenger is None and any(result.diverged for result in ascent.results):
        give_up()
        raise _all_failed(ascent.results)
    if ascent.challenger is None:
        raise _budget_too_small(config, climb)
    outdone = [_outdone_result(name, training, ascent.challenger) for name, training in ascent.trained.items()]
    rows = climb.sizes.new + climb.sizes.past
    result = LadderResult(types=list(climb.types), total_rows=rows, attempts=[*outdone, *ascent.results])
    return Climbed(ascent.challenger, result)


class _Ascent:
    """What an update has tried so far: the results, the last challenger, and the rungs still to judge or to try.

    ``trained`` are the rungs that are trained and not judged, ``spared`` those that were not due or not needed.
    """

    def __init__(self, config: Config, climb: Climb, attempt: Attempt, enough: Callable[[GateReport], bool]) -> None:
        self._config, self._climb, self._attempt, self._enough = config, climb, attempt, enough
        self.results: list[RungResult] = []
        self.trained: dict[str, Training] = {}
        self.spared: list[str] = []
        self.challenger: Challenger | None = None

    @property
    def passed(self) -> bool:
        """Whether the last challenger is enough."""
        return bool(self.results and self.results[-1].passed)

    def train(self, name: str, *, spare: bool = True) -> None:
        """Train at a rung, unless it does not fit into the budget, or ``spare`` it if it is not due or not needed."""
        self.results = [result for result in self.results if result.rung != name]
        spared = self._spared(name) if spare else None
        if spared:
            self.spared.append(name)
        if why := spared or self._exceeded_bound(name):
            self.results.append(RungResult(rung=name, skipped=why))
            return
        try:
            self.trained[name] = self._attempt.train(name, self._config.at_rung(name))
        except DivergedError as error:
            self.results.append(_diverged_result(name, error))

    def judge_best(self) -> bool:
        """Judge the rung that does best on validation rows, the lowest on a tie; return whether it is enough."""
        if not self.trained:
            return False
        name = max(self.trained, key=lambda rung: validation_rank(self.trained[rung].validation_score))
        self.challenger = self._attempt.judge(name, self.trained.pop(name))
        self.results.append(_judged_result(name, self.challenger, self._enough(self.challenger.gates)))
        return self.passed

    def judge_all(self) -> None:
        """Judge what is trained, the best first, until one is enough."""
        while self.trained and not self.passed:
            self.judge_best()

    def _spared(self, name: str) -> str | None:
        """Return why a rung is not tried yet; None: it is. The rung to begin with always is."""
        return (
            None if name == self._climb.begin else _not_due(self._config, name, self._climb) or self._not_needed(name)
        )

    def _not_needed(self, name: str) -> str | None:
        """Return why a rung cannot gain much."""
        below = next(rung.below for rung in self._config.ladder if rung.name == name)
        for rung, training in self.trained.items():
            score = training.validation_score
            if below is not None and score is not None and score >= below:
                return f"'{rung}' scores {100 * score:.1f} % on validation rows; it is tried below {100 * below:g} %"
        return None

    def _exceeded_bound(self, name: str) -> str | None:
        waiting = [_trained_result(rung, training) for rung, training in self.trained.items()]
        return _exceeded_bound(self._config, name, self._climb, [*self.results, *waiting])


def _trained_result(name: str, training: Training) -> RungResult:
    return RungResult(
        rung=name,
        training_seconds=training.seconds,
        rows=training.rows_learnt,
        validation_score=training.validation_score,
    )


def _outdone_result(name: str, training: Training, challenger: Challenger) -> RungResult:
    """Return the result of a rung that was trained and never judged, because another did better."""
    scores = (challenger.training.validation_score, training.validation_score)
    best, own = ("undecided" if score is None else f"{100 * score:.1f} %" for score in scores)
    outdone = f"'{challenger.training.rung}' does better on validation rows: {best}, not {own.removesuffix(' %')}"
    return _trained_result(name, training).model_copy(update={"outdone": outdone})


def _judged_result(name: str, challenger: Challenger, passed: bool) -> RungResult:
    refused = {verdict.gate: verdict.why for verdict in challenger.gates.verdicts if not verdict.passed}
    result = _trained_result(name, challenger.training).model_copy(
        update={
            "passed": passed,
            "judged_seconds": challenger.judged_seconds,
            "accuracy": challenger.evaluation.accuracy,
            "refused_by": {} if passed else refused,
        }
    )
    log.info("rung %s: %d rows, %.1f s, %s", name, result.rows, result.seconds, "passed" if passed else "refused")
    return result


def _diverged_result(name: str, error: DivergedError) -> RungResult:
    result = RungResult(rung=name, training_seconds=round(error.seconds, 2), rows=error.rows, diverged=str(error))
    log.info("rung %s: %d rows, %.1f s, diverged: %s", name, result.rows, result.seconds, error)
    return result


def _all_failed(results: Sequence[RungResult]) -> DivergedError:
    """Return the error that names every rung and why it diverged or was skipped."""
    ends = "; ".join(f"rung '{result.rung}': {result.diverged or f'skipped: {result.skipped}'}" for result in results)
    return DivergedError(
        f"every rung of the ladder failed: {ends}; the champion is unchanged",
        rows=sum(result.rows for result in results),
        seconds=sum(result.seconds for result in results),
    )


def _not_due(config: Config, name: str, climb: Climb) -> str | None:
    """Return why a rung is not tried again yet; None: it is due."""
    growth = next(rung.growth for rung in config.ladder if rung.name == name)
    last = [past.total_rows for past in climb.past if any(result.rung == name for result in past.begun)]
    rows = climb.sizes.new + climb.sizes.past
    if not last or rows >= growth * last[-1]:
        return None
    return f"it was last tried with {last[-1]:,} rows, there are {rows:,}; it is due at {growth:g} times as many"


def _exceeded_bound(config: Config, name: str, climb: Climb, results: Sequence[RungResult]) -> str | None:
    """Return why a rung is skipped; None: it fits into the budget."""
    bounds, begun = config.climb, [result for result in results if result.skipped is None]
    if bounds.max_rungs is not None and len(begun) >= bounds.max_rungs:
        return f"climb.max_rungs is {bounds.max_rungs}"
    cost = _rung_cost(config, name, climb, results)
    if bounds.max_rows is not None and cost.rows > (left := bounds.max_rows - sum(result.rows for result in begun)):
        return f"it needs about {cost.rows:,} rows, climb.max_rows leaves {max(0, left):,}"
    if bounds.max_seconds is None or cost.seconds is None:
        return None
    if cost.seconds > (left_s := bounds.max_seconds - sum(result.seconds for result in begun)):
        return f"it needs about {cost.seconds:,.0f} s, climb.max_seconds leaves {max(0.0, left_s):,.0f}"
    return None


def _rung_cost(config: Config, name: str, climb: Climb, results: Sequence[RungResult]) -> Cost:
    known = [*(result for past in climb.past for result in past.attempts), *results]
    return expected_cost(config.at_rung(name), climb.sizes, known, rung=name, ladder=config)


def _budget_too_small(config: Config, climb: Climb) -> ConfigError:
    """Return the error that names the cheapest rung and what it needs."""
    costs = {rung.name: _rung_cost(config, rung.name, climb, ()) for rung in config.ladder}
    name = min(costs, key=lambda rung: (costs[rung].rows, costs[rung].seconds or 0.0))
    bounds, cost = config.climb, costs[name]
    needed = f"about {cost.rows:,} rows" + (f" and {cost.seconds:,.1f} s" if cost.seconds is not None else "")
    given = [
        f"climb.{key}: {value:g}"
        for key, value in (("max_rows", bounds.max_rows), ("max_seconds", bounds.max_seconds))
        if value is not None
    ]
    return ConfigError(
        f"{' and '.join(given)}: too small for any rung of the ladder; the cheapest, '{name}', needs {needed}; raise "
        "the limit or add a cheaper rung; nothing was trained, the champion is unchanged"
    )
