"""Correct the detectors' p-values for multiplicity, and attribute alarms to their causes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cl import plugins
from cl.config import Config
from cl.drift.detectors import Detector
from cl.drift.detectors.label_mix import match_labels
from cl.models.snapshot import Snapshot
from cl.records import Drift, Finding
from cl.statistics import deflated_p, dispersion, format_p_value, holm, is_explained

LABEL_DEPENDENT = ("inputs", "predictions")
"""Kinds of findings that move with the label mix."""


def calibrate(findings: list[Finding], quiet: Sequence[Drift]) -> list[Finding]:
    """Return the findings, each with how much wider its detector's quiet checks scattered than its test assumes.

    Experiences differ a little even without drift, and with many rows a test detects every small difference. The
    quiet checks of this stream measure that dispersion; it never makes a detector less cautious.
    """
    history: dict[str, list[float]] = {}
    for check in quiet:
        for past in check.findings:
            if past.p_value is not None:
                history.setdefault(past.detector, []).append(past.p_value)
    return [_add_spread(finding, dispersion(history.get(finding.detector, []))) for finding in findings]


def _add_spread(finding: Finding, spread: float) -> Finding:
    if finding.p_value is None or spread <= 1:
        return finding
    note = f"quiet checks scattered {spread:.1f} times as widely: {format_p_value(deflated_p(finding.p_value, spread))}"
    return finding.model_copy(update={"spread": spread, "summary": f"{finding.summary}; {note}"})


def explain_alarm(config: Config, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
    """Return an alarm with what moved and the rows that show it best; other findings unchanged."""
    if not finding.drifted:
        return finding
    detectors = (plugins.build(Detector, spec) for spec in config.drift.detectors)
    detector = next(detector for detector in detectors if detector.name == finding.detector)
    return detector.explain(finding, reference, new)


def correct_for_multiplicity(findings: list[Finding], alpha: float) -> list[Finding]:
    """Return the findings after Holm's correction; rules, which have no p-value, keep their own verdict."""
    tested = [index for index, finding in enumerate(findings) if finding.p_value is not None]
    p_values = [deflated_p(findings[index].p_value or 0.0, findings[index].spread) for index in tested]
    alarms = dict(zip(tested, holm(p_values, alpha), strict=True))
    return [
        finding.model_copy(update={"drifted": alarms.get(index, finding.drifted)})
        for index, finding in enumerate(findings)
    ]


def attribute(
    config: Config, experience: str, findings: list[Finding], reference: Snapshot, new: Snapshot
) -> list[Finding]:
    """Mark the alarms about texts and predictions that a change of the label mix explains.

    If the label mix changes, texts and predictions change with it, and their detectors cannot tell why. So each
    alarming detector is run again on label-matched samples. An alarm that remains is more than the mix; so is one that
    the smaller samples could have missed. Holm's correction uses all of ``drift.alpha`` here: this step decides what
    an alarm means, not whether there is one, and a stricter level would hide real changes behind the labels.
    """
    mix = next((finding.detector for finding in findings if finding.drifted and finding.kind == "labels"), None)
    alarming = [index for index, finding in enumerate(findings) if finding.drifted and finding.kind in LABEL_DEPENDENT]
    if mix is None or not alarming:
        return findings
    matched = match_labels(reference, new, detector_seed(config.seed, experience, "like labels"))
    matched_p = {index: _rerun(config, experience, index, matched) for index in alarming}
    tested = [index for index in alarming if matched_p[index] is not None]
    p_values = [deflated_p(matched_p[index] or 0.0, findings[index].spread) for index in tested]
    remaining = holm(p_values, config.drift.alpha)
    shrinkage = max(1.0, _effective_size(reference, new) / max(_effective_size(*matched), 1e-9))
    attributed = list(findings)
    for index, p_value, remains in zip(tested, p_values, remaining, strict=True):
        finding = findings[index]
        expected = deflated_p(deflated_p(finding.p_value or 0.0, finding.spread), shrinkage)
        if not remains and is_explained(p_value, expected):
            rows = " and ".join(str(len(side.frame)) for side in reversed(matched))
            note = f"on label-matched samples ({rows} rows) no drift remains: {format_p_value(p_value)}"
            attributed[index] = finding.model_copy(
                update={"explained_by": mix, "summary": f"{finding.summary}; {note}"}
            )
    return attributed


def _rerun(config: Config, experience: str, index: int, sides: tuple[Snapshot, Snapshot]) -> float | None:
    """Return the p-value of the detector at this index on other samples; None if it has too few rows."""
    detector = plugins.build(Detector, config.drift.detectors[index])
    seed = detector_seed(config.seed, experience, detector.name)
    return detector.detect(*sides, alpha=config.drift.alpha, seed=seed).p_value


def _effective_size(reference: Snapshot, new: Snapshot) -> float:
    """Return the effective sample size, with which a two-sample statistic grows."""
    before, after = len(reference.frame), len(new.frame)
    return before * after / max(1, before + after)


def detector_seed(seed: int, experience: str, detector: str) -> int:
    """Return the seed of one detector's random draws for one experience."""
    return int(hashlib.sha256(f"{seed}/{experience}/{detector}".encode()).hexdigest()[:8], 16)
