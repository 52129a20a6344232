"""Decide about an experience: hold it, learn it, or leave the model alone."""

from __future__ import annotations

from cl.config import Config
from cl.evidence import shown
from cl.records import Decision, Drift, Validation

SHOWN = 8


def decide(config: Config, validation: Validation, drift: Drift, *, waiting_rows: int, first: bool) -> Decision:
    """Return what to do and why; the first rule that applies decides.

    Args:
        config: the bounds, under ``decide``.
        validation: whether the batch is fit to learn from.
        drift: what has changed since the champion was promoted.
        waiting_rows: training rows of this experience and of the quiet ones before it.
        first: there is no champion yet.
    """
    bounds = config.decide
    if not validation.passed:
        return Decision(action="hold", reasons=validation.problems or ["the batch did not pass validation"])
    if first:
        return Decision(action="learn", reasons=["no champion yet: this is the first model"])
    if drift.drifted and waiting_rows < bounds.min_rows:
        few = f"{waiting_rows} training rows wait, decide.min_rows is {bounds.min_rows}: too few to learn from"
        return Decision(action="hold", reasons=[few, *_changes(drift)])
    if drift.drifted:
        return Decision(action="learn", reasons=_changes(drift))
    if bounds.max_waiting_rows is not None and waiting_rows >= bounds.max_waiting_rows:
        many = f"{waiting_rows} training rows wait, decide.max_waiting_rows is {bounds.max_waiting_rows}"
        return Decision(action="learn", reasons=[many])
    return Decision(action="none", reasons=[f"nothing has changed that matters: {_checked(drift)}"])


def _changes(drift: Drift) -> list[str]:
    """Return one reason for each finding that counts; new labels are named whoever found them."""
    found = [finding for finding in drift.findings if finding.drifted]
    reasons = [f"{finding.detector}: {finding.summary}" for finding in found]
    if drift.new_labels and all(finding.kind != "new_labels" for finding in found):
        more = f" and {len(drift.new_labels) - SHOWN} more" if len(drift.new_labels) > SHOWN else ""
        reasons.append(f"labels never learnt: {', '.join(drift.new_labels[:SHOWN])}{more}")
    return reasons


def _checked(drift: Drift) -> str:
    """Return the detectors with their p-values, or with what they said in place of one."""
    checks = [
        f"{finding.detector} ({finding.summary if finding.p_value is None else shown(finding.p_value)})"
        for finding in drift.findings
    ]
    return ", ".join(checks) or "no detector is configured"
