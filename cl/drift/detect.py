"""Detect drift between the champion's reference and a new experience."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.drift.correct import attribute, calibrate, correct_for_multiplicity, detector_seed, explain_alarm
from cl.drift.detectors import EXAMPLES, Detector
from cl.drift.detectors.new_labels import unknown_label_rows
from cl.drift.encode import encode_sides
from cl.errors import InputError
from cl.models.snapshot import Snapshot
from cl.records import Drift, Finding
from cl.statistics import alpha_spending
from cl.stores.data.experiences import StoredRows
from cl.stores.data.fingerprints import hash_texts
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
    replaced: Collection[int] = (),
) -> Drift:
    """Compare all rows of an experience, as the champion sees them, with the champion's reference.

    Args:
        config: the task, and the settings under ``drift``.
        experience: its id.
        champion: folder of the serving version; without one (None), every label is new.
        rows: reads rows of an experience without loading all of it.
        folder: Evidently's report is written into its subfolder ``drift``.
        check: number of this drift check in the stream, from 1; alpha is shared over all checks.
        quiet: earlier drift checks of this stream that raised no alarm.
        replaced: fingerprints of the ids of rows that were corrected since: the reference goes without them.
    """
    task = plugins.build(Task, config.task)
    labels = task.classes(rows.column(experience, task.schema.answer.name))
    if champion is None:
        labels_only = _labels_only(labels, task)
        return compare_snapshots(config, experience, None, labels_only, folder=folder, check=check)
    from cl.models.persistence import load_learner
    from cl.models.snapshot import load_reference, take_snapshot
    from cl.stores.version_folder import load_history

    learner = load_learner(champion)
    sample = _sample_indices(len(labels), config.drift.max_rows, detector_seed(config.seed, experience, "rows"))
    new = take_snapshot(learner, rows.rows_at(experience, sample))
    if len(sample) < len(labels):
        unknown = np.flatnonzero(unknown_label_rows(labels, new.known_labels, new.separator).map(bool))[:EXAMPLES]
        unknown_ids = rows.rows_at(experience, unknown)["id"].astype(str)
        new = replace(new, labels=labels, unknown_label_ids=tuple(unknown_ids))
    drift = compare_snapshots(
        config,
        experience,
        _without(load_reference(champion), replaced),
        new,
        folder=folder / "drift",
        check=check,
        quiet=quiet,
    )
    return drift.model_copy(update={"promotion_score": load_history(champion).score})


def _without(reference: Snapshot, replaced: Collection[int]) -> Snapshot:
    if not replaced:
        return reference
    return reference.take(
        np.flatnonzero(~np.isin(hash_texts(reference.frame["id"]), np.array(sorted(replaced), np.uint64)))
    )


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
    """Run the configured detectors, correct their findings for multiplicity, and write Evidently's report if wanted.

    Args:
        config: detectors, alpha, and when to write a report.
        experience: its id; together with the configuration's seed it determines all random draws.
        reference: held-out rows stored at the champion's promotion; None without a champion.
        new: the new rows; its known labels are the champion's.
        folder: where the report goes.
        check: number of this drift check in the stream, from 1.
        quiet: earlier drift checks without an alarm; enough of them show how widely each detector scatters here.
    """
    labels = new.frame["label"] if new.labels is None else new.labels
    new_labels = sorted(set(unknown_label_rows(labels, new.known_labels, new.separator).explode().dropna()))
    if reference is None:
        return Drift(experience=experience, drifted=False, new_labels=new_labels)
    reference, new = encode_sides(config.drift.encoder, reference, new)
    level = alpha_spending(config.drift.alpha, check)
    calibrated = calibrate(run_detectors(config, experience, reference, new, level), quiet)
    attributed = attribute(config, experience, correct_for_multiplicity(calibrated, level), reference, new)
    findings = [explain_alarm(config, finding, reference, new) for finding in attributed]
    drifted = any(finding.drifted for finding in findings)
    wants_report = config.drift.report == "always" or (config.drift.report == "on_drift" and drifted)
    return Drift(
        experience=experience,
        drifted=drifted,
        findings=findings,
        check=check,
        level=level,
        new_labels=new_labels,
        champion_score=float(new.frame["score"].mean()) if len(new.frame) else None,
        rows=len(new.frame),
        metric=plugins.build(Task, config.task).row_metric,
        report=_write_report(config, reference, new, folder) if wants_report else None,
    )


def run_detectors(config: Config, experience: str, reference: Snapshot, new: Snapshot, alpha: float) -> list[Finding]:
    """Return each configured detector's finding at this level, uncorrected, in the configuration's order."""
    findings = []
    for spec in config.drift.detectors:
        detector = plugins.build(Detector, spec)
        seed = detector_seed(config.seed, experience, detector.name)
        findings.append(detector.detect(reference, new, alpha=alpha, seed=seed))
    return findings


def _sample_indices(rows: int, max_rows: int, seed: int) -> np.ndarray:
    """Return the sorted indices of at most ``max_rows`` rows, drawn at random."""
    indices = pd.Series(range(rows))
    result: np.ndarray = (
        indices if rows <= max_rows else indices.sample(max_rows, random_state=seed).sort_values()
    ).to_numpy()
    return result


def _write_report(config: Config, reference: Snapshot, new: Snapshot, folder: Path) -> str | None:
    """Write Evidently's report; it is for people to read, so what keeps Evidently from it must not stop a cycle."""
    from cl.drift.evidently_report import write_drift_report

    try:
        report = write_drift_report(reference, new, folder, seed=config.seed)
    except InputError as error:
        log.warning("no drift report: %s", error)
        return None
    except Exception as error:
        log.warning("no drift report: Evidently failed with %s: %s", type(error).__name__, error)
        return None
    return str(report) if report else None


def _labels_only(labels: pd.Series, task: Task) -> Snapshot:
    """Return a snapshot of rows that no model has seen: it has labels only."""
    frame, known = pd.DataFrame({"label": labels}), tuple(task.class_names([]))
    return Snapshot(frame, np.zeros((len(labels), 0), dtype=np.float32), known, separator=task.class_separator)
