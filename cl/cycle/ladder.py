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
Try = Callable[[str | None, Config], Challenger]


@dataclass(frozen=True)
class Climbed:
    """The challenger that an update ended with, and the way to it; no way where there is no ladder."""

    tried: Challenger
    climb: LadderResult | None


def climb_ladder(
    config: Config,
    *,
    begin: str | None,
    types: Sequence[DriftType],
    sizes: UpdateSizes,
    past: Sequence[LadderResult],
    attempt: Try,
    enough: Callable[[GateReport], bool] = lambda gates: gates.passed,
    give_up: Callable[[], None] = lambda: None,
) -> Climbed:
    """Try rungs from one on upwards until a challenger passes all gates.

    Each rung starts from the champion, never from a challenger that was refused. A rung whose expected cost does not
    fit into what is left of the budget is not begun; where nothing from the first on fits, the dearest rung below it
    that does is tried in its place. A rung whose training diverges is not enough, like one that a gate refuses.

    Args:
        config: the ladder and its budget, under ``climb_ladder``.
        begin: the rung to begin with; None: there is no ladder, and the update is tried as it stands.
        types: the kinds of change that the update answers.
        sizes: of what is learnt.
        past: the climbs of earlier updates, oldest first: what rungs have cost.
        attempt: trains and judges at a rung under its own configuration.
        enough: tells by its gates whether a challenger ends the climb.
        give_up: called when every rung that was begun has diverged: a later run is to try them anew.

    Raises:
        ConfigError: the budget is too small for any rung; nothing was trained.
        DivergedError: every rung that was begun has diverged.
    """
    if begin is None:
        return Climbed(attempt(None, config), None)
    names = [rung.name for rung in config.ladder]
    start, attempts = names.index(begin), list[RungResult]()
    last: Challenger | None = None

    def tried(name: str) -> Challenger | None:
        try:
            found = attempt(name, config.at(name))
        except DivergedError as error:
            attempts.append(_stopped(name, error))
            return None
        attempts.append(_told(name, found, enough(found.gates)))
        return found

    for name in names[start:]:
        if why := _bounded(config, name, sizes, past, attempts):
            attempts.append(RungResult(rung=name, skipped=why))
            continue
        last = tried(name) or last
        if attempts[-1].passed:
            break
    for name in reversed(names[:start]):
        if last is None and not _bounded(config, name, sizes, past, attempts):
            last = tried(name)
    if last is None and any(one.diverged for one in attempts):
        give_up()
        raise _none_left(attempts)
    if last is None:
        raise _too_small(config, sizes, past)
    return Climbed(last, LadderResult(types=list(types), attempts=attempts))


def _told(name: str, tried: Challenger, passed: bool) -> RungResult:
    refused = {one.gate: one.why for one in tried.gates.verdicts if not one.passed}
    found = RungResult(
        rung=name,
        passed=passed,
        training_seconds=tried.training.seconds,
        judged_seconds=tried.judged_seconds,
        rows=tried.training.rows_learnt,
        accuracy=tried.evaluation.accuracy,
        refused_by={} if passed else refused,
    )
    log.info("rung %s: %d rows, %.1f s, %s", name, found.rows, found.seconds, "passed" if found.passed else "refused")
    return found


def _stopped(name: str, error: DivergedError) -> RungResult:
    found = RungResult(rung=name, training_seconds=round(error.seconds, 2), rows=error.rows, diverged=str(error))
    log.info("rung %s: %d rows, %.1f s, diverged: %s", name, found.rows, found.seconds, error)
    return found


def _none_left(attempts: Sequence[RungResult]) -> DivergedError:
    """Return the error that names every rung and what stopped it, or kept it from being begun."""
    ends = "; ".join(f"rung '{one.rung}': {one.diverged or f'not begun: {one.skipped}'}" for one in attempts)
    return DivergedError(
        f"no rung of the ladder has led to a challenger: {ends}; the champion serves on",
        rows=sum(one.rows for one in attempts),
        seconds=sum(one.seconds for one in attempts),
    )


def _bounded(
    config: Config, name: str, sizes: UpdateSizes, past: Sequence[LadderResult], attempts: Sequence[RungResult]
) -> str | None:
    """Return why a rung is not begun, or None."""
    bounds, begun = config.climb, [one for one in attempts if one.skipped is None]
    if bounds.max_rungs is not None and len(begun) >= bounds.max_rungs:
        return f"climb.max_rungs is {bounds.max_rungs}"
    cost = _cost(config, name, sizes, past, attempts)
    if bounds.max_rows is not None and cost.rows > (left := bounds.max_rows - sum(one.rows for one in begun)):
        return f"it would learn about {cost.rows:,} rows, and climb.max_rows leaves {max(0, left):,}"
    if bounds.max_seconds is None or cost.seconds is None:
        return None
    if cost.seconds > (left_s := bounds.max_seconds - sum(one.seconds for one in begun)):
        return f"it would take about {cost.seconds:,.0f} s, and climb.max_seconds leaves {max(0.0, left_s):,.0f}"
    return None


def _cost(
    config: Config, name: str, sizes: UpdateSizes, past: Sequence[LadderResult], attempts: Sequence[RungResult]
) -> Cost:
    known = [*(one for climb in past for one in climb.attempts), *attempts]
    return expected_cost(config.at(name), sizes, known, rung=name, ladder=config)


def _too_small(config: Config, sizes: UpdateSizes, past: Sequence[LadderResult]) -> ConfigError:
    """Return the error that names the cheapest rung and what it would need."""
    costs = {rung.name: _cost(config, rung.name, sizes, past, ()) for rung in config.ladder}
    name = min(costs, key=lambda one: (costs[one].rows, costs[one].seconds or 0.0))
    bounds, cost = config.climb, costs[name]
    asked = f"learn about {cost.rows:,} rows" + (f" in {cost.seconds:,.1f} s" if cost.seconds is not None else "")
    given = [
        f"climb.{key}: {value:g}"
        for key, value in (("max_rows", bounds.max_rows), ("max_seconds", bounds.max_seconds))
        if value is not None
    ]
    return ConfigError(
        f"{' and '.join(given)}: too small for any rung of the ladder; '{name}', the cheapest, would {asked}: raise "
        "the bound, or give the ladder a cheaper rung; nothing was trained, and the champion serves on"
    )
