"""Decide whether to learn an experience, hold it, or leave the model unchanged."""

from __future__ import annotations

from cl.config import Config, DecisionSettings
from cl.decision.situation import Situation, alarming_detectors
from cl.decision.starting_rung import starting_rung
from cl.records import Decision, Drift, DriftType, Finding, Gain, Validation
from cl.statistics import alarm_bound, format_p_value

FIRST = "no champion yet: this is the first model"
SHOWN = 8
LOOKS_LIKE_A_CHANGE = 0.05
"""The p-value below which a reader wonders why there is no alarm."""
HARMLESS: frozenset[DriftType] = frozenset({"inputs", "labels"})
"""Types of drift that are no reason to learn where it would gain nothing."""
UNTESTABLE = (
    "no test rows in this batch or any before it, so no gate could judge an update: "
    "mark rows as test in data.split_column, or raise data.split.test where the split is a hash"
)


def decide(config: Config, validation: Validation, drift: Drift, seen: Situation) -> Decision:
    """Return the decision and its reasons; the first rule that applies decides.

    Args:
        config: the bounds, under ``decide``.
        validation: whether the batch is fit to learn from.
        drift: what has changed since the champion was promoted.
        seen: everything else that the decision depends on.
    """
    decision = _decide(config.decide, validation, drift, seen)
    if decision.action != "learn" or not config.ladder:
        return decision
    start = starting_rung(config, _lowest_rung(config, drift, seen), change_types(drift, seen), seen.climbs)
    return decision.model_copy(update={"rung": start.rung, "reasons": [*decision.reasons, *start.reasons]})


def _decide(bounds: DecisionSettings, validation: Validation, drift: Drift, seen: Situation) -> Decision:
    if not validation.passed:
        return Decision(action="hold", reasons=validation.problems or ["the batch did not pass validation"])
    if seen.described:
        return Decision(action="learn", reasons=_reasons_to_describe(drift, seen))
    if seen.first:
        return _learn_if_enough_rows(bounds, seen, [FIRST])
    if seen.unmeasured:
        return _learn_first_rows(seen)
    if seen.forgotten:
        why = f"the champion has learned from rows that were since forgotten ({_format_names(list(seen.forgotten))})"
        return _learn_if_enough_rows(bounds, seen, [why, *_change_reasons(drift, seen)])
    if seen.corrected:
        return _learn_corrections(seen, _change_reasons(drift, seen))
    if seen.asked:
        return _learn_if_enough_rows(bounds, seen, ["a person has asked for it", *_change_reasons(drift, seen)])
    if drift.drifted or seen.postponed:
        return _decide_on_drift(bounds, drift, seen)
    if bounds.max_waiting_rows is not None and seen.waiting_rows >= bounds.max_waiting_rows:
        why = f"{seen.waiting_rows} training rows are waiting, decide.max_waiting_rows is {bounds.max_waiting_rows}"
        return _learn_within_limits(bounds, seen, [why])
    gain = [] if seen.gain is None or seen.gain.high is None else [_format_gain(seen.gain)]
    if seen.gain is not None and seen.gain.may_reach(bounds.min_gain):
        return _learn_within_limits(bounds, seen, gain)
    return Decision(action="none", reasons=[f"nothing has changed that matters: {_format_checks(drift)}", *gain])


def _lowest_rung(config: Config, drift: Drift, seen: Situation) -> str:
    """Return the lowest rung to begin with.

    It is the highest rung configured for any of the drift types, or one above the last update's rung if an alarm
    persisted after that update.
    """
    names = [rung.name for rung in config.ladder]
    configured = [getattr(config.decide.rung, kind) for kind in change_types(drift, seen)]
    index = max((names.index(name) for name in configured if name is not None), default=0)
    if seen.alarms and alarming_detectors([drift, *seen.postponed]) & seen.alarms[0] and seen.rungs[0] in names:
        index = max(index, names.index(seen.rungs[0]) + 1)
    return names[min(index, len(names) - 1)]


def _decide_on_drift(bounds: DecisionSettings, drift: Drift, seen: Situation) -> Decision:
    kinds, changes = change_types(drift, seen), _change_reasons(drift, seen)
    if unresolved := _unresolved_detectors(bounds, drift, seen):
        why = (
            f"{bounds.max_repeats} consecutive updates did not resolve {', '.join(unresolved)}: manual review required"
        )
        return Decision(action="hold", reasons=[why, *changes])
    answers = {getattr(bounds.answer, kind) for kind in kinds}
    if answers and "learn" not in answers:
        drift_names = ", ".join(kind.replace("_", " ") for kind in kinds)
        action = "hold" if "hold" in answers else "none"
        return Decision(action=action, reasons=[f"drift of {drift_names}: decide.answer says {action}", *changes])
    if HARMLESS.issuperset(kinds) and seen.gain is not None and seen.gain.is_too_small(bounds.min_gain):
        why = f"an update would not help: {_format_gain(seen.gain)}, decide.min_gain is {bounds.min_gain:g}"
        return _postpone(why, changes)
    errors = _avoidable_errors(drift, seen.waiting_rows)
    if errors < bounds.min_avoidable_errors:
        why = f"an update could have avoided about {errors} errors, decide.min_avoidable_errors is"
        return _postpone(f"{why} {bounds.min_avoidable_errors}", changes)
    return _learn_within_limits(bounds, seen, changes)


def _learn_within_limits(bounds: DecisionSettings, seen: Situation, reasons: list[str]) -> Decision:
    """Learn unless the cool-down or the training budget forbids it."""
    if seen.hours is not None and seen.hours < bounds.cool_down_hours:
        why = f"the last promotion was {seen.hours:.1f} hours ago, decide.cool_down_hours is"
        return _postpone(f"{why} {bounds.cool_down_hours:g}", reasons)
    if bounds.budget_hours is not None and seen.spent >= bounds.budget_hours:
        why = f"{seen.spent:.1f} hours of training in {bounds.budget_days} days, decide.budget_hours is"
        return _postpone(f"{why} {bounds.budget_hours:g}", reasons)
    return _learn_if_enough_rows(bounds, seen, reasons)


def _reasons_to_describe(drift: Drift, seen: Situation) -> list[str]:
    """Return why descriptions are learned however few they are: nothing else may say what a label means."""
    count = "1 description of a label is" if seen.described == 1 else f"{seen.described} descriptions of labels are"
    why = f"{count} new: learned at once"
    if seen.first:
        return [FIRST, why]
    return [why] if seen.unmeasured else [why, *_change_reasons(drift, seen)]


def _learn_first_rows(seen: Situation) -> Decision:
    """Learn the first labelled rows however few they are, once there is a test row among them."""
    why = "the champion answers from label descriptions alone"
    if not (seen.testable and seen.labelled):
        missing = "test row to judge an update by" if seen.labelled else "labelled training row"
        return _postpone(f"{why}, and there is no {missing} yet: waiting for more", [])
    rows = "1 labelled training row is" if seen.labelled == 1 else f"{seen.labelled} labelled training rows are"
    return Decision(action="learn", reasons=[f"{why}, and {rows} there"])


def _learn_corrections(seen: Situation, changes: list[str]) -> Decision:
    """Learn however few they are: what the champion has learned is known to be wrong."""
    rows = "1 row that the champion has learned was" if seen.corrected == 1 else ""
    why = rows or f"{seen.corrected} rows that the champion has learned were"
    return Decision(action="learn" if seen.testable else "hold", reasons=[f"{why} corrected since", *changes])


def _learn_if_enough_rows(bounds: DecisionSettings, seen: Situation, reasons: list[str]) -> Decision:
    if seen.waiting_rows < bounds.min_rows:
        why = f"{seen.waiting_rows} training rows are too few to learn from, decide.min_rows is {bounds.min_rows}"
        return _postpone(f"{why}: waiting for more", reasons)
    if not seen.testable:
        return Decision(action="hold", reasons=[UNTESTABLE, *reasons])
    return Decision(action="learn", reasons=reasons)


def _postpone(why: str, reasons: list[str]) -> Decision:
    return Decision(action="none", reasons=[why, *reasons], postponed=True)


def _unresolved_detectors(bounds: DecisionSettings, drift: Drift, seen: Situation) -> list[str]:
    """Return the detectors that raised an alarm before each of the last updates and still do.

    New labels always give an update something to learn, whichever other detectors raise an alarm.
    """
    if (
        bounds.max_repeats is None
        or len(seen.alarms) < bounds.max_repeats
        or "new_classes" in change_types(drift, seen)
    ):
        return []
    return sorted(alarming_detectors([drift]).intersection(*seen.alarms[: bounds.max_repeats]))


def change_types(drift: Drift, seen: Situation) -> list[DriftType]:
    """Return the types of change to answer now, including those that were postponed before."""
    return sorted({kind for check in (drift, *seen.postponed) for kind in check.types})


def _avoidable_errors(drift: Drift, rows: int) -> int:
    """Return how many more waiting rows the champion would get right if it scored as high as at its promotion.

    This is the regret of not having retrained (Böther et al., 2025, on when to retrain), estimated from the available
    labels.
    """
    if drift.champion_score is None or drift.promotion_score is None:
        return rows
    return round(max(0.0, drift.promotion_score - drift.champion_score) * rows)


def _change_reasons(drift: Drift, seen: Situation) -> list[str]:
    """Return a reason for each alarm of this drift check, then for each detector whose alarm was postponed."""
    reasons = _alarm_reasons(drift)
    for detector in sorted(alarming_detectors(seen.postponed)):
        ids = [check.experience for check in seen.postponed if detector in alarming_detectors([check])]
        reasons.append(f"{detector}: its alarm of {_format_names(ids)} was postponed until now")
    return reasons


def _alarm_reasons(drift: Drift) -> list[str]:
    """Return a reason for each alarm; new labels are always named, whichever detector raised the alarm."""
    alarms = [finding for finding in drift.findings if finding.drifted]
    reasons = [f"{finding.detector}: {finding.summary}" for finding in alarms]
    if drift.new_labels and all(finding.kind != "new_labels" for finding in alarms):
        reasons.append(f"labels never learned: {_format_names(drift.new_labels)}")
    return reasons


def _format_names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _format_gain(gain: Gain) -> str:
    """Return in words what an update would gain."""
    assert gain.expected is not None and gain.low is not None and gain.high is not None
    return (
        f"learning {gain.new_rows:,} rows would change the share of right answers by about {100 * gain.expected:+.1f} "
        f"points (90 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    )


def _format_checks(drift: Drift) -> str:
    """Return the detectors with their p-values, or with their summaries if they have none.

    A p-value that looks like a change is followed by the bound below which an alarm is raised.
    """
    tests = sum(finding.p_value is not None for finding in drift.findings)
    checks = [f"{finding.detector} ({_format_check(finding, drift.level, tests)})" for finding in drift.findings]
    return ", ".join(checks) or "no detector is configured"


def _format_check(finding: Finding, level: float | None, tests: int) -> str:
    if finding.p_value is None:
        return finding.summary
    if level is None or finding.p_value >= LOOKS_LIKE_A_CHANGE:
        return format_p_value(finding.p_value)
    return f"{format_p_value(finding.p_value)}, alarm below {alarm_bound(level, tests, finding.spread):.2g}"
