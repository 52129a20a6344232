"""Write a finished cycle into its MLflow run."""

from __future__ import annotations

from pathlib import Path

from cl.config import Config
from cl.records import Cycle
from cl.registry.register import evaluation_metrics
from cl.stores.journal import Journal
from cl.stores.stores import Stores

DRIFT_ARTIFACT = "drift"


def record_cycle(config: Config, stores: Stores, run: str, cycle: Cycle, journal: Journal) -> Cycle:
    """Write the finished cycle into its MLflow run, forget the journal, and return the cycle as it is kept."""
    registry = stores.registry
    registry.log_params(run, config.flat())
    registry.log_dataset(
        run,
        cycle.experience.id,
        digest=cycle.data_version,
        source=f"data/experiences/{cycle.experience.id}",
        rows=cycle.experience.total,
    )
    rungs = [journal.folder / "rungs" / one.rung for one in (cycle.climb.judged if cycle.climb else [])]
    judged = rungs[-1] if rungs else journal.folder
    judged = journal.folder / cycle.chosen.form if cycle.chosen else judged
    for verdicts in judged / "gate.json", journal.folder / "smoke_test.json":
        if verdicts.exists():
            registry.log_file(run, verdicts, "evaluation")
    for place in rungs:
        registry.log_file(run, place / "gate.json", f"rungs/{place.name}")
    for one in cycle.climb.begun if cycle.climb else []:
        registry.log_metrics(run, {f"rung/{one.rung}/seconds": one.seconds, f"rung/{one.rung}/rows": one.rows})
    if cycle.drift.report:
        registry.log_folder(run, Path(cycle.drift.report), DRIFT_ARTIFACT)
        kept = cycle.drift.model_copy(update={"report": DRIFT_ARTIFACT})  # the journal's own copy goes away
        cycle = cycle.model_copy(update={"drift": kept})
    if cycle.evaluation:
        registry.log_metrics(run, evaluation_metrics(cycle.evaluation))
        registry.log_file(run, Path(cycle.evaluation.predictions), "evaluation")
    if cycle.training:
        registry.log_series(run, "loss", cycle.training.losses)
    registry.record_cycle(run, cycle)
    stores.remember_finished(cycle.experience.id)
    journal.close()
    return cycle
