"""Write a finished cycle to its MLflow run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cl.cycle.compress import Judged
from cl.cycle.context import CycleContext
from cl.cycle.ladder import Climbed
from cl.evaluation.evaluate import CLASSES
from cl.process.progress import stage
from cl.records import CompressionResult, Cycle, Decision, Drift, Gain, GateReport, Promotion, Validation
from cl.registry.accuracy_matrix import accuracy_matrix
from cl.registry.register import evaluation_metrics, log_epochs
from cl.reports.entities import REPORT, format_report
from cl.reports.html import write_cycle_report
from cl.stores.files import write_text

DRIFT_ARTIFACT, REPORT_ARTIFACT = "drift", "report"
SHOWN_IN_MATRIX = 20
"""The newest experiences in the accuracy matrix on the page of a cycle; the report of the project shows more."""


@dataclass(frozen=True)
class Findings:
    """The results of a cycle before training."""

    validation: Validation
    drift: Drift
    gain: Gain
    decision: Decision


@dataclass(frozen=True)
class CycleUpdate:
    """The results of an update: its climb, the version to promote, the verdicts with the smoke test, the promotion."""

    climbed: Climbed
    version: Judged
    gates: GateReport
    compressed: list[CompressionResult]
    promotion: Promotion


def record_cycle(context: CycleContext, findings: Findings, update: CycleUpdate | None = None) -> Cycle:
    """Write the finished cycle to its MLflow run, close the journal, and return the cycle as recorded."""
    with stage("record"):
        return _record_cycle(context, findings, update)


def _record_cycle(context: CycleContext, findings: Findings, update: CycleUpdate | None) -> Cycle:
    registry, run, journal = context.stores.registry, context.run, context.journal
    cycle = _build_cycle(context, findings, update)
    registry.runs.log_params(run, context.config.flatten())
    registry.runs.log_dataset(
        run,
        cycle.experience.id,
        digest=cycle.data_version,
        source=f"data/experiences/{cycle.experience.id}",
        rows=cycle.experience.total,
    )
    rungs = [journal.folder / "rungs" / rung.rung for rung in (cycle.climb.judged if cycle.climb else [])]
    judged = rungs[-1] if rungs else journal.folder
    judged = journal.folder / cycle.chosen.form if cycle.chosen else judged
    for file in judged / "gate.json", judged / CLASSES, journal.folder / "smoke_test.json":
        if file.exists():
            registry.runs.log_file(run, file, "evaluation")
    for folder in rungs:
        registry.runs.log_file(run, folder / "gate.json", f"rungs/{folder.name}")
    for rung in cycle.climb.begun if cycle.climb else []:
        registry.runs.log_metrics(run, {f"rung/{rung.rung}/seconds": rung.seconds, f"rung/{rung.rung}/rows": rung.rows})
    if cycle.drift.report:
        registry.runs.log_folder(run, Path(cycle.drift.report), DRIFT_ARTIFACT)
        kept = cycle.drift.model_copy(update={"report": DRIFT_ARTIFACT})  # the journal's own copy is deleted
        cycle = cycle.model_copy(update={"drift": kept})
    if cycle.evaluation:
        registry.runs.log_metrics(run, evaluation_metrics(cycle.evaluation))
        registry.runs.log_file(run, Path(cycle.evaluation.predictions), "evaluation")
        if cycle.evaluation.report:
            write_text(table := journal.folder / REPORT, f"{format_report(cycle.evaluation.report)}\n")
            registry.runs.log_file(run, table, "evaluation")
    if cycle.training:
        log_epochs(registry.runs, run, cycle.training)
    matrix = accuracy_matrix(cycle, registry.runs.past, context.versions, most=SHOWN_IN_MATRIX)
    report = write_cycle_report(cycle, matrix, journal.folder / "report.html", name=context.config.name)
    registry.runs.log_file(run, report, REPORT_ARTIFACT)
    registry.runs.record_cycle(run, cycle)
    registry.files.share_record(run, cycle.promotion.version if cycle.promotion else None)
    context.stores.remember_finished(cycle.experience.id)
    journal.close()
    return cycle


def _build_cycle(context: CycleContext, findings: Findings, update: CycleUpdate | None) -> Cycle:
    start, champion = context.start, context.champion.version
    return Cycle(
        id=start.id,
        experience=context.experience,
        started_at=start.started_at,
        seconds=round(time.monotonic() - context.clock, 1),
        ended_at=datetime.now(UTC),
        data_version=start.data_version,
        champion_before=champion,
        validation=findings.validation,
        drift=findings.drift,
        gain=findings.gain,
        decision=findings.decision,
        climb=update.climbed.result if update else None,
        training=update.climbed.challenger.training if update else None,
        evaluation=update.version.challenger.evaluation if update else None,
        gates=update.gates if update else None,
        derived=update.compressed if update else [],
        promotion=update.promotion if update else None,
        champion_after=update.promotion.champion_after if update else champion,
        run=context.run,
    )
