"""Decide about an experience: hold it, learn it, or leave the model alone."""

from __future__ import annotations

from cl.config import Config
from cl.config import DecisionSettings as Bounds
from cl.decision.situation import Situation, alarming_detectors
from cl.decision.starting_rung import starting_rung
from cl.records import Decision, Drift, DriftType, Validation
from cl.statistics import format_p_value

SHOWN = 8
UNTESTABLE = (
    "there is no test row, in this batch or before it, so no gate could judge an update: "
    "mark rows as test in data.split_column, or raise data.split.test where the split is a hash"
)


def decide(config: Config, validation: Validation, drift: Drift, seen: Situation) -> Decision:
    """Return what to do and why; the first rule that applies decides.

    Args:
        config: the bounds, under ``decide``.
        validation: whether the batch is fit to learn from.
        drift: what has changed since the champion was promoted.
        seen: all else that it rests on.
    """
    decision = _decide(config.decide, validation, drift, seen)
    if decision.action != "learn" or not config.ladder:
        return decision
    start = starting_rung(config, _rung(config, drift, seen), change_types(drift, seen), seen.climbs)
    return decision.model_copy(update={"rung": start.rung, "reasons": [*decision.reasons, *start.reasons]})


def _decide(bounds: Bounds, validation: Validation, drift: Drift, seen: Situation) -> Decision:
    if not validation.passed:
        return Decision(action="hold", reasons=validation.problems or ["the batch did not pass validation"])
    if seen.first:
        return _if_enough(bounds, seen, ["no champion yet: this is the first model"])
    if seen.forgotten:
        why = f"rows were forgotten that the champion has learnt from ({_listed(list(seen.forgotten))})"
        return _if_enough(bounds, seen, [why, *_changes(drift, seen)])
    if seen.asked:
        return _if_enough(bounds, seen, ["a person has asked for it", *_changes(drift, seen)])
    if drift.drifted or seen.postponed:
        return _about_drift(bounds, drift, seen)
    if bounds.max_waiting_rows is not None and seen.waiting_rows >= bounds.max_waiting_rows:
        many = f"{seen.waiting_rows} training rows wait, decide.max_waiting_rows is {bounds.max_waiting_rows}"
        return _unless_too_soon_or_dear(bounds, seen, [many])
    return Decision(action="none", reasons=[f"nothing has changed that matters: {_checked(drift)}"])


def _rung(config: Config, drift: Drift, seen: Situation) -> str:
    """Return the highest rung that the types of drift ask for; one above the last update's if an alarm outlived it."""
    names = [rung.name for rung in config.ladder]
    asked = [getattr(config.decide.rung, kind) for kind in change_types(drift, seen)]
    place = max((names.index(name) for name in asked if name is not None), default=0)
    if seen.alarms and alarming_detectors([drift, *seen.postponed]) & seen.alarms[0] and seen.rungs[0] in names:
        place = max(place, names.index(seen.rungs[0]) + 1)
    return names[min(place, len(names) - 1)]


def _about_drift(bounds: Bounds, drift: Drift, seen: Situation) -> Decision:
    kinds, changes = change_types(drift, seen), _changes(drift, seen)
    if stubborn := _survivors(bounds, drift, seen):
        told = f"{bounds.max_repeats} updates in a row have not silenced {', '.join(stubborn)}: a person must look"
        return Decision(action="hold", reasons=[told, *changes])
    wanted = {getattr(bounds.answer, kind) for kind in kinds}
    if wanted and "learn" not in wanted:
        named = ", ".join(kind.replace("_", " ") for kind in kinds)
        action = "hold" if "hold" in wanted else "none"
        return Decision(action=action, reasons=[f"drift of {named}: decide.answer says {action}", *changes])
    errors = _avoidable_errors(drift, seen.waiting_rows)
    if errors < bounds.min_avoidable_errors:
        few = f"an update could have avoided about {errors} errors, decide.min_avoidable_errors is"
        return _put_off(f"{few} {bounds.min_avoidable_errors}", changes)
    return _unless_too_soon_or_dear(bounds, seen, changes)


def _unless_too_soon_or_dear(bounds: Bounds, seen: Situation, reasons: list[str]) -> Decision:
    if seen.hours is not None and seen.hours < bounds.cool_down_hours:
        early = (
            f"the last promotion was {seen.hours:.1f} hours ago, decide.cool_down_hours is {bounds.cool_down_hours:g}"
        )
        return _put_off(early, reasons)
    if bounds.budget_hours is not None and seen.spent >= bounds.budget_hours:
        dear = f"{seen.spent:.1f} hours of training in {bounds.budget_days} days, decide.budget_hours is"
        return _put_off(f"{dear} {bounds.budget_hours:g}", reasons)
    return _if_enough(bounds, seen, reasons)


def _if_enough(bounds: Bounds, seen: Situation, reasons: list[str]) -> Decision:
    if seen.waiting_rows < bounds.min_rows:
        few = f"{seen.waiting_rows} training rows are too few to learn from, decide.min_rows is {bounds.min_rows}"
        return _put_off(f"{few}: they wait for more", reasons)
    if not seen.testable:
        return Decision(action="hold", reasons=[UNTESTABLE, *reasons])
    return Decision(action="learn", reasons=reasons)


def _put_off(bound: str, reasons: list[str]) -> Decision:
    return Decision(action="none", reasons=[bound, *reasons], postponed=True)


def _survivors(bounds: Bounds, drift: Drift, seen: Situation) -> list[str]:
    """Return the detectors that were loud before each of the last updates and still are.

    Where labels are new there is something to learn, whoever else is loud.
    """
    if (
        bounds.max_repeats is None
        or len(seen.alarms) < bounds.max_repeats
        or "new_classes" in change_types(drift, seen)
    ):
        return []
    return sorted(alarming_detectors([drift]).intersection(*seen.alarms[: bounds.max_repeats]))


def change_types(drift: Drift, seen: Situation) -> list[DriftType]:
    """Return the types of change that ask for an answer now, those that were put off before among them."""
    return sorted({kind for one in (drift, *seen.postponed) for kind in one.types})


def _avoidable_errors(drift: Drift, rows: int) -> int:
    """Return how many more of the waiting rows the champion would get right if it did as well as at its promotion.

    The regret of not having learnt (Böther et al., 2025, on when to retrain), as far as the labels at hand tell it.
    """
    if drift.champion_score is None or drift.promotion_score is None:
        return rows
    return round(max(0.0, drift.promotion_score - drift.champion_score) * rows)


def _changes(drift: Drift, seen: Situation) -> list[str]:
    """Return one reason for each finding that counts, then for each detector whose alarm was put off before."""
    reasons = _found(drift)
    for detector in sorted(alarming_detectors(seen.postponed)):
        ids = [one.experience for one in seen.postponed if detector in alarming_detectors([one])]
        reasons.append(f"{detector}: its alarm of {_listed(ids)} was put off until now")
    return reasons


def _found(drift: Drift) -> list[str]:
    """Return one reason for each finding that counts; new labels are named whoever found them."""
    found = [finding for finding in drift.findings if finding.drifted]
    reasons = [f"{finding.detector}: {finding.summary}" for finding in found]
    if drift.new_labels and all(finding.kind != "new_labels" for finding in found):
        reasons.append(f"labels never learnt: {_listed(drift.new_labels)}")
    return reasons


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _checked(drift: Drift) -> str:
    """Return the detectors with their p-values, or with what they said in place of one."""
    checks = [
        f"{finding.detector} ({finding.summary if finding.p_value is None else format_p_value(finding.p_value)})"
        for finding in drift.findings
    ]
    return ", ".join(checks) or "no detector is configured"
