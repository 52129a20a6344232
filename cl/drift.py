"""Find out what has changed between the champion's reference and a new experience."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.detectors import EXAMPLES, Snapshot
from cl.detectors.label_mix import thinned
from cl.detectors.new_labels import strange
from cl.evidence import calmed, holm, is_gone, scatter, shown, spending
from cl.records import Drift, Finding
from cl.stores.experiences import Rows

BESIDE_LABELS = ("inputs", "predictions")
"""Kinds of findings that move with the labels."""

log = logging.getLogger(__name__)


def drift(
    config: Config,
    *,
    experience: str,
    champion: Path | None,
    rows: Rows,
    folder: Path,
    check: int = 1,
    quiet: Sequence[Drift] = (),
) -> Drift:
    """Compare all rows of an experience, as the champion sees them, with the champion's reference.

    Args:
        config: the task, and the settings under ``drift``.
        experience: its id.
        champion: folder of the serving version; None where there is none, and then every label is new.
        rows: finds rows of an experience without holding all of it.
        folder: Evidently's report is written into its subfolder ``drift``.
        check: which check of this stream it is, from 1; the chance of a false alarm is shared out over all of them.
        quiet: earlier checks of this stream that found nothing.
    """
    task = plugins.build("tasks", config.task)
    labels = task.classes(rows.column(experience, task.columns[1]))
    if champion is None:
        unanswered = _unanswered(labels, tuple(task.class_names([])))
        return compare(config, experience, None, unanswered, promotion_score=None, folder=folder, check=check)
    from cl.training.learner import load_learner
    from cl.training.snapshot import snapshot
    from cl.training.version import load_history, load_reference

    learner = load_learner(champion)
    few = _few(len(labels), config.drift.max_rows, _seed(config.seed, experience, "rows"))
    seen = snapshot(learner, rows.at(experience, few))
    if len(few) < len(labels):
        strangers = np.flatnonzero(strange(labels, seen.known_labels).map(bool))[:EXAMPLES]
        seen = replace(seen, labels=labels, strangers=tuple(rows.at(experience, strangers)["id"].astype(str)))
    return compare(
        config,
        experience,
        load_reference(champion),
        seen,
        promotion_score=load_history(champion).score,
        folder=folder / "drift",
        check=check,
        quiet=quiet,
    )


def compare(
    config: Config,
    experience: str,
    reference: Snapshot | None,
    new: Snapshot,
    *,
    promotion_score: float | None,
    folder: Path,
    check: int = 1,
    quiet: Sequence[Drift] = (),
) -> Drift:
    """Run the configured detectors, correct over them, and write Evidently's report.

    Args:
        config: detectors, alpha, and whether a report is made.
        experience: its id; with the configuration's seed it fixes all that is drawn at random.
        reference: held-out rows that the champion was promoted with; None where there is no champion.
        new: the new rows; its known labels are the champion's.
        promotion_score: the champion's score when it was promoted, for the record.
        folder: where the report goes.
        check: which check of this stream it is, from 1.
        quiet: earlier checks that found nothing; from enough of them each detector learns how it scatters here.
    """
    every = new.frame["label"] if new.labels is None else new.labels
    new_labels = sorted(set(strange(every, new.known_labels).explode().dropna()))
    if reference is None:
        return Drift(experience=experience, drifted=False, new_labels=new_labels)
    level = spending(config.drift.alpha, check)
    found = calibrated(detect(config, experience, reference, new, level), quiet)
    told = attributed(config, experience, corrected(found, level), reference, new)
    findings = [explained(config, one, reference, new) for one in told]
    return Drift(
        experience=experience,
        drifted=any(finding.drifted for finding in findings),
        findings=findings,
        check=check,
        level=level,
        new_labels=new_labels,
        champion_score=float(new.frame["score"].mean()) if len(new.frame) else None,
        promotion_score=promotion_score,
        report=_report(config, reference, new, folder),
    )


def detect(config: Config, experience: str, reference: Snapshot, new: Snapshot, alpha: float) -> list[Finding]:
    """Return what each configured detector finds by itself at this level, in the configuration's order."""
    findings = []
    for spec in config.drift.detectors:
        detector = plugins.build("detectors", spec)
        seed = _seed(config.seed, experience, detector.name)
        findings.append(detector.detect(reference, new, alpha=alpha, seed=seed))
    return findings


def calibrated(findings: list[Finding], quiet: Sequence[Drift]) -> list[Finding]:
    """Return the findings, each with how much wider its detector's quiet checks scattered than its test says.

    Months differ a little even when nothing happens, and with many rows a test sees every little. What quiet
    checks of this stream have shown is the measure; it never makes a detector less cautious.
    """
    history: dict[str, list[float]] = {}
    for check in quiet:
        for past in check.findings:
            if past.p_value is not None:
                history.setdefault(past.detector, []).append(past.p_value)
    return [_scattered(one, scatter(history.get(one.detector, []))) for one in findings]


def _scattered(finding: Finding, spread: float) -> Finding:
    if finding.p_value is None or spread <= 1:
        return finding
    told = f"quiet checks scattered {spread:.1f} times as widely: {shown(calmed(finding.p_value, spread))}"
    return finding.model_copy(update={"spread": spread, "summary": f"{finding.summary}; {told}"})


def explained(config: Config, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
    """Return an alarm with what moved and the rows that show it; the rest as it is."""
    if not finding.drifted:
        return finding
    spec = next(one for one in config.drift.detectors if plugins.build("detectors", one).name == finding.detector)
    return plugins.build("detectors", spec).explain(finding, reference, new)


def corrected(findings: list[Finding], alpha: float) -> list[Finding]:
    """Return the findings after Holm's correction; rules, which have no p-value, keep their own opinion."""
    tested = [index for index, finding in enumerate(findings) if finding.p_value is not None]
    weighed = [calmed(findings[index].p_value or 0.0, findings[index].spread) for index in tested]
    alarms = dict(zip(tested, holm(weighed, alpha), strict=True))
    return [
        finding.model_copy(update={"drifted": alarms.get(index, finding.drifted)})
        for index, finding in enumerate(findings)
    ]


def attributed(
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
    sides = thinned(reference, new, _seed(config.seed, experience, "like labels"))
    again = {at: _again(config, experience, at, sides) for at in loud}
    tested = [at for at in loud if again[at] is not None]
    p_values = [calmed(again[at] or 0.0, findings[at].spread) for at in tested]
    left = holm(p_values, config.drift.alpha)
    fewer = max(1.0, _pairs(reference, new) / max(_pairs(*sides), 1e-9))
    told = list(findings)
    for at, p_value, still in zip(tested, p_values, left, strict=True):
        one = findings[at]
        if not still and is_gone(p_value, calmed(calmed(one.p_value or 0.0, one.spread), fewer)):
            rows = " beside ".join(str(len(side.frame)) for side in reversed(sides))
            why = f"with like labels on both sides ({rows} rows) nothing is left of it: {shown(p_value)}"
            told[at] = one.model_copy(update={"explained_by": mix, "summary": f"{one.summary}; {why}"})
    return told


def _again(config: Config, experience: str, at: int, sides: tuple[Snapshot, Snapshot]) -> float | None:
    """Return the p-value of the detector in this place on other sides; None where it has too few rows."""
    detector = plugins.build("detectors", config.drift.detectors[at])
    seed = _seed(config.seed, experience, detector.name)
    return detector.detect(*sides, alpha=config.drift.alpha, seed=seed).p_value


def _pairs(reference: Snapshot, new: Snapshot) -> float:
    """Return the size that a two-sample statistic grows with."""
    before, after = len(reference.frame), len(new.frame)
    return before * after / max(1, before + after)


def _few(rows: int, most: int, seed: int) -> np.ndarray:
    """Return the places of at most so many rows, drawn at random, in their order."""
    places = pd.Series(range(rows))
    return (places if rows <= most else places.sample(most, random_state=seed).sort_values()).to_numpy()


def _report(config: Config, reference: Snapshot, new: Snapshot, folder: Path) -> str | None:
    """A report is for people to read: a failure inside Evidently must not stop a cycle."""
    if config.drift.report == "off":
        return None
    from cl.reports.evidently_report import write_drift_report

    try:
        written = write_drift_report(reference, new, folder, seed=config.seed)
    except Exception as error:
        log.warning("no drift report: Evidently failed with %s: %s", type(error).__name__, error)
        return None
    return str(written) if written else None


def _unanswered(labels: pd.Series, known: tuple[str, ...]) -> Snapshot:
    """Return rows that no model has seen: labels only."""
    return Snapshot(pd.DataFrame({"label": labels}), np.zeros((len(labels), 0), dtype=np.float32), known)


def _seed(seed: int, experience: str, detector: str) -> int:
    return int(hashlib.sha256(f"{seed}/{experience}/{detector}".encode()).hexdigest()[:8], 16)
