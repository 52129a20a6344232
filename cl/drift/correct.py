"""Correction of many detectors' p-values, and attribution of what they saw to causes."""

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

BESIDE_LABELS = ("inputs", "predictions")
"""Kinds of findings that move with the labels."""


def calibrate(findings: list[Finding], quiet: Sequence[Drift]) -> list[Finding]:
    """Return the findings, each with how much wider its detector's quiet checks scattered than its test says.

    Months differ a little even when nothing happens, and with many rows a test sees every little. What quiet
    checks of this stream have shown is the measure; it never makes a detector less cautious.
    """
    history: dict[str, list[float]] = {}
    for check in quiet:
        for past in check.findings:
            if past.p_value is not None:
                history.setdefault(past.detector, []).append(past.p_value)
    return [_scattered(one, dispersion(history.get(one.detector, []))) for one in findings]


def _scattered(finding: Finding, spread: float) -> Finding:
    if finding.p_value is None or spread <= 1:
        return finding
    told = f"quiet checks scattered {spread:.1f} times as widely: {format_p_value(deflated_p(finding.p_value, spread))}"
    return finding.model_copy(update={"spread": spread, "summary": f"{finding.summary}; {told}"})


def mark_explained(config: Config, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
    """Return an alarm with what moved and the rows that show it; the rest as it is."""
    if not finding.drifted:
        return finding
    spec = next(one for one in config.drift.detectors if plugins.build(Detector, one).name == finding.detector)
    return plugins.build(Detector, spec).explain(finding, reference, new)


def correct_for_multiplicity(findings: list[Finding], alpha: float) -> list[Finding]:
    """Return the findings after Holm's correction; rules, which have no p-value, keep their own opinion."""
    tested = [index for index, finding in enumerate(findings) if finding.p_value is not None]
    weighed = [deflated_p(findings[index].p_value or 0.0, findings[index].spread) for index in tested]
    alarms = dict(zip(tested, holm(weighed, alpha), strict=True))
    return [
        finding.model_copy(update={"drifted": alarms.get(index, finding.drifted)})
        for index, finding in enumerate(findings)
    ]


def attribute(
    config: Config, experience: str, findings: list[Finding], reference: Snapshot, new: Snapshot
) -> list[Finding]:
    """Return the findings; alarms about texts and answers that the mix of the labels explains say so.

    Where the labels come in other shares, so do texts and answers, and their detectors cannot tell why. So each is
    asked again about as many rows of each label on both sides. What is still found (Holm's correction, at all of
    ``drift.alpha``: this decides what an alarm means, not whether there is one, and a stricter level would hide real
    changes behind the labels) is more than the mix, and so may be what the fewer rows could have missed.
    """
    mix = next((one.detector for one in findings if one.drifted and one.kind == "labels"), None)
    loud = [at for at, one in enumerate(findings) if one.drifted and one.kind in BESIDE_LABELS]
    if mix is None or not loud:
        return findings
    sides = match_labels(reference, new, detector_seed(config.seed, experience, "like labels"))
    again = {at: _again(config, experience, at, sides) for at in loud}
    tested = [at for at in loud if again[at] is not None]
    p_values = [deflated_p(again[at] or 0.0, findings[at].spread) for at in tested]
    left = holm(p_values, config.drift.alpha)
    fewer = max(1.0, _pairs(reference, new) / max(_pairs(*sides), 1e-9))
    told = list(findings)
    for at, p_value, still in zip(tested, p_values, left, strict=True):
        one = findings[at]
        if not still and is_explained(p_value, deflated_p(deflated_p(one.p_value or 0.0, one.spread), fewer)):
            rows = " beside ".join(str(len(side.frame)) for side in reversed(sides))
            why = f"with like labels on both sides ({rows} rows) nothing is left of it: {format_p_value(p_value)}"
            told[at] = one.model_copy(update={"explained_by": mix, "summary": f"{one.summary}; {why}"})
    return told


def _again(config: Config, experience: str, at: int, sides: tuple[Snapshot, Snapshot]) -> float | None:
    """Return the p-value of the detector in this place on other sides; None where it has too few rows."""
    detector = plugins.build(Detector, config.drift.detectors[at])
    seed = detector_seed(config.seed, experience, detector.name)
    return detector.detect(*sides, alpha=config.drift.alpha, seed=seed).p_value


def _pairs(reference: Snapshot, new: Snapshot) -> float:
    """Return the size that a two-sample statistic grows with."""
    before, after = len(reference.frame), len(new.frame)
    return before * after / max(1, before + after)


def detector_seed(seed: int, experience: str, detector: str) -> int:
    """Return the seed of what one detector draws for one experience."""
    return int(hashlib.sha256(f"{seed}/{experience}/{detector}".encode()).hexdigest()[:8], 16)
