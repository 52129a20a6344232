"""An update climbs the ladder: rung after rung, until a challenger passes all gates or the budget is spent."""

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
"""Trains and judges at a rung, by its name and under its own configuration; None: there is no ladder."""


@dataclass(frozen=True)
class Climb:
    """Where an update begins to climb, and what is known of the cost of the way.

    ``begin`` is the rung to begin with; None: there is no ladder, and the update is tried as it stands. ``types`` are
    the kinds of change that it answers, ``sizes`` those of what is learnt, ``past`` the climbs of earlier updates,
    oldest first: what rungs have cost.
    """

    begin: str | None
    types: Sequence[DriftType]
    sizes: UpdateSizes
    past: Sequence[LadderResult] = ()


@dataclass(frozen=True)
class Climbed:
    """The challenger that an update ended with, and what became of each rung; None where there is no ladder."""

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
    """Try rungs from one on upwards until a challenger passes all gates.

    Each rung starts from the champion, never from a challenger that was refused. A rung whose expected cost does not
    fit into what is left of the budget is not begun; where nothing from the first on fits, the most expensive rung
    below it that does is tried in its place. A rung whose training diverges is not enough, like one that a gate
    refuses.

    Args:
        config: the ladder and its budget, under ``climb``.
        climb: where it begins, and what the way has cost before.
        attempt: trains and judges at a rung.
        enough: tells by its gates whether a challenger ends the climb.
        give_up: called when every rung that was begun has diverged: a later run is to try them again.

    Raises:
        ConfigError: the budget is too small for any rung; nothing was trained.
        DivergedError: every rung that was begun has diverged.
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
            results.append(_diverged(name, error))
            return None
        results.append(_judged(name, challenger, enough(challenger.gates)))
        return challenger

    for name in names[start:]:
        if why := _bounded(config, name, climb, results):
            results.append(RungResult(rung=name, skipped=why))
            continue
        last = try_rung(name) or last
        if results[-1].passed:
            break
    for name in reversed(names[:start]):
        if last is None and not _bounded(config, name, climb, results):
            last = try_rung(name)
    if last is None and any(result.diverged for result in results):
        give_up()
        raise _none_left(results)
    if last is None:
        raise _too_small(config, climb)
    return Climbed(last, LadderResult(types=list(climb.types), attempts=results))


def _judged(name: str, challenger: Challenger, passed: bool) -> RungResult:
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


def _diverged(name: str, error: DivergedError) -> RungResult:
    result = RungResult(rung=name, training_seconds=round(error.seconds, 2), rows=error.rows, diverged=str(error))
    log.info("rung %s: %d rows, %.1f s, diverged: %s", name, result.rows, result.seconds, error)
    return result


def _none_left(results: Sequence[RungResult]) -> DivergedError:
    """Return the error that names every rung and what stopped it, or kept it from being begun."""
    ends = "; ".join(f"rung '{one.rung}': {one.diverged or f'not begun: {one.skipped}'}" for one in results)
    return DivergedError(
        f"every rung of the ladder failed: {ends}; the champion is unchanged",
        rows=sum(one.rows for one in results),
        seconds=sum(one.seconds for one in results),
    )


def _bounded(config: Config, name: str, climb: Climb, results: Sequence[RungResult]) -> str | None:
    """Return why a rung is not begun, or None."""
    bounds, begun = config.climb, [result for result in results if result.skipped is None]
    if bounds.max_rungs is not None and len(begun) >= bounds.max_rungs:
        return f"climb.max_rungs is {bounds.max_rungs}"
    cost = _cost(config, name, climb, results)
    if bounds.max_rows is not None and cost.rows > (left := bounds.max_rows - sum(one.rows for one in begun)):
        return f"it would learn about {cost.rows:,} rows, and climb.max_rows leaves {max(0, left):,}"
    if bounds.max_seconds is None or cost.seconds is None:
        return None
    if cost.seconds > (left_s := bounds.max_seconds - sum(one.seconds for one in begun)):
        return f"it would take about {cost.seconds:,.0f} s, and climb.max_seconds leaves {max(0.0, left_s):,.0f}"
    return None


def _cost(config: Config, name: str, climb: Climb, results: Sequence[RungResult]) -> Cost:
    known = [*(result for past in climb.past for result in past.attempts), *results]
    return expected_cost(config.at_rung(name), climb.sizes, known, rung=name, ladder=config)


def _too_small(config: Config, climb: Climb) -> ConfigError:
    """Return the error that names the cheapest rung and what it would need."""
    costs = {rung.name: _cost(config, rung.name, climb, ()) for rung in config.ladder}
    name = min(costs, key=lambda rung: (costs[rung].rows, costs[rung].seconds or 0.0))
    bounds, cost = config.climb, costs[name]
    needed = f"learn about {cost.rows:,} rows" + (f" in {cost.seconds:,.1f} s" if cost.seconds is not None else "")
    given = [
        f"climb.{key}: {value:g}"
        for key, value in (("max_rows", bounds.max_rows), ("max_seconds", bounds.max_seconds))
        if value is not None
    ]
    return ConfigError(
        f"{' and '.join(given)}: too small for any rung of the ladder; '{name}', the cheapest, would {needed}: raise "
        "the bound, or give the ladder a cheaper rung; nothing was trained, and the champion is unchanged"
    )
