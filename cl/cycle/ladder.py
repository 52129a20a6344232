"""Climb the ladder: try rung after rung until a challenger passes all gates or the budget is spent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cl.config import Config
from cl.cycle.cost import Cost, UpdateSizes, expected_cost
from cl.errors import ConfigError, DivergedError
from cl.records import Challenger, DriftType, GateReport, LadderResult, RungResult

log = logging.getLogger(__name__)
Attempt = Callable[[str | None, Config], Challenger]
"""Trains and evaluates at a rung, given its name and its configuration; None: there is no ladder."""


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
    """Try rungs upwards from the first one until a challenger passes all gates.

    Each rung starts from the champion, never from a refused challenger. A rung whose expected cost exceeds the rest of
    the budget is skipped; if no rung from the first on fits, the most expensive rung below it that fits is tried
    instead. A rung whose training diverges counts as failed, like one that a gate refuses.

    Args:
        config: the ladder and its budget, under ``climb``.
        climb: where it begins, and what rungs have cost before.
        attempt: trains and evaluates at a rung.
        enough: returns whether a challenger with these verdicts ends the climb.
        give_up: called when every attempted rung has diverged, so that a later run tries them again.

    Raises:
        ConfigError: the budget is too small for any rung; nothing was trained.
        DivergedError: every attempted rung has diverged.
    """
    if climb.begin is None:
        return Climbed(attempt(None, config), None)
    names = [rung.name for rung in config.ladder]
    start, results = names.index(climb.begin), list[RungResult]()
    last: Challenger | None = None

    def try_rung(name: str) -> Challenger | None:
        try:
            challenger = attempt(name, config.at_rung(name))
        except DivergedError as error:
            results.append(_diverged_result(name, error))
            return None
        results.append(_judged_result(name, challenger, enough(challenger.gates)))
        return challenger

    for name in names[start:]:
        if why := _exceeded_bound(config, name, climb, results):
            results.append(RungResult(rung=name, skipped=why))
            continue
        last = try_rung(name) or last
        if results[-1].passed:
            break
    for name in reversed(names[:start]):
        if last is None and not _exceeded_bound(config, name, climb, results):
            last = try_rung(name)
    if last is None and any(result.diverged for result in results):
        give_up()
        raise _all_failed(results)
    if last is None:
        raise _budget_too_small(config, climb)
    return Climbed(last, LadderResult(types=list(climb.types), attempts=results))


def _judged_result(name: str, challenger: Challenger, passed: bool) -> RungResult:
    refused = {verdict.gate: verdict.why for verdict in challenger.gates.verdicts if not verdict.passed}
    result = RungResult(
        rung=name,
        passed=passed,
        training_seconds=challenger.training.seconds,
        judged_seconds=challenger.judged_seconds,
        rows=challenger.training.rows_learnt,
        accuracy=challenger.evaluation.accuracy,
        refused_by={} if passed else refused,
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
