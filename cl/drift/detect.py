"""Find out what has changed between the champion's reference and a new experience."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.drift.correct import attribute, calibrate, correct_for_multiplicity, detector_seed, mark_explained
from cl.drift.detectors import EXAMPLES, Detector
from cl.drift.detectors.new_labels import unknown_label_rows
from cl.models.snapshot import Snapshot
from cl.records import Drift, Finding
from cl.statistics import alpha_spending
from cl.stores.data.experiences import StoredRows
from cl.tasks import Task

log = logging.getLogger(__name__)


def detect_drift(
    config: Config,
    *,
    experience: str,
    champion: Path | None,
    rows: StoredRows,
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
    task = plugins.build(Task, config.task)
    labels = task.classes(rows.column(experience, task.columns[1]))
    if champion is None:
        unanswered = _unanswered(labels, tuple(task.class_names([])))
        return compare_snapshots(config, experience, None, unanswered, folder=folder, check=check)
    from cl.models.persistence import load_learner
    from cl.models.snapshot import load_reference, take_snapshot
    from cl.stores.version_folder import load_history

    learner = load_learner(champion)
    few = _few(len(labels), config.drift.max_rows, detector_seed(config.seed, experience, "rows"))
    seen = take_snapshot(learner, rows.rows_at(experience, few))
    if len(few) < len(labels):
        unknown_label_ids = np.flatnonzero(unknown_label_rows(labels, seen.known_labels).map(bool))[:EXAMPLES]
        seen = replace(
            seen, labels=labels, unknown_label_ids=tuple(rows.rows_at(experience, unknown_label_ids)["id"].astype(str))
        )
    drift = compare_snapshots(
        config, experience, load_reference(champion), seen, folder=folder / "drift", check=check, quiet=quiet
    )
    return drift.model_copy(update={"promotion_score": load_history(champion).score})


def compare_snapshots(
    config: Config,
    experience: str,
    reference: Snapshot | None,
    new: Snapshot,
    *,
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
        folder: where the report goes.
        check: which check of this stream it is, from 1.
        quiet: earlier checks that found nothing; from enough of them each detector learns how it scatters here.
    """
    every = new.frame["label"] if new.labels is None else new.labels
    new_labels = sorted(set(unknown_label_rows(every, new.known_labels).explode().dropna()))
    if reference is None:
        return Drift(experience=experience, drifted=False, new_labels=new_labels)
    level = alpha_spending(config.drift.alpha, check)
    found = calibrate(run_detectors(config, experience, reference, new, level), quiet)
    told = attribute(config, experience, correct_for_multiplicity(found, level), reference, new)
    findings = [mark_explained(config, one, reference, new) for one in told]
    return Drift(
        experience=experience,
        drifted=any(finding.drifted for finding in findings),
        findings=findings,
        check=check,
        level=level,
        new_labels=new_labels,
        champion_score=float(new.frame["score"].mean()) if len(new.frame) else None,
        report=_report(config, reference, new, folder),
    )


def run_detectors(config: Config, experience: str, reference: Snapshot, new: Snapshot, alpha: float) -> list[Finding]:
    """Return what each configured detector finds by itself at this level, in the configuration's order."""
    findings = []
    for spec in config.drift.detectors:
        detector = plugins.build(Detector, spec)
        seed = detector_seed(config.seed, experience, detector.name)
        findings.append(detector.detect(reference, new, alpha=alpha, seed=seed))
    return findings


def _few(rows: int, most: int, seed: int) -> np.ndarray:
    """Return the places of at most so many rows, drawn at random, in their order."""
    places = pd.Series(range(rows))
    return (places if rows <= most else places.sample(most, random_state=seed).sort_values()).to_numpy()


def _report(config: Config, reference: Snapshot, new: Snapshot, folder: Path) -> str | None:
    """A report is for people to read: a failure inside Evidently must not stop a cycle."""
    if config.drift.report == "off":
        return None
    from cl.drift.evidently_report import write_drift_report

    try:
        written = write_drift_report(reference, new, folder, seed=config.seed)
    except Exception as error:
        log.warning("no drift report: Evidently failed with %s: %s", type(error).__name__, error)
        return None
    return str(written) if written else None


def _unanswered(labels: pd.Series, known: tuple[str, ...]) -> Snapshot:
    """Return rows that no model has seen: labels only."""
    return Snapshot(pd.DataFrame({"label": labels}), np.zeros((len(labels), 0), dtype=np.float32), known)
