"""Register a version that was made of the champion without training, and promote it in the champion's place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from cl.config import Config
from cl.process.progress import stage
from cl.promotion.promote import promote
from cl.records import Challenger, Evaluation, GateReport, Training
from cl.records.past_scores import PastScores
from cl.registry.lineage import LocalVersion
from cl.registry.register import NewVersion, register
from cl.registry.smoke_test import smoke_test
from cl.stores.mlflow.version_files import EVALUATION
from cl.stores.stores import Stores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replacement:
    """A version in place of the champion.

    ``cycle`` and ``name`` name its run, ``parent`` is what it was made of, ``champion`` the version that it replaces.
    ``scores`` and ``residual_experiences`` are as in `NewVersion`; ``why`` is the reason, for the ledger.
    """

    cycle: str
    name: str
    folder: Path
    parent: LocalVersion
    champion: str
    data_version: str
    evaluation: Evaluation
    scores: PastScores
    gates: GateReport
    why: str
    residual_experiences: tuple[str, ...] = ()


def replace_champion(config: Config, stores: Stores, new: Replacement) -> str:
    """Register the version, test it in a fresh process, promote it, and return it; the step may be repeated.

    Its gates are reported but refuse nothing: a row that must go, or a label that has ended, cannot stay because the
    champion was better.
    """
    registry = stores.registry
    run = registry.runs.start_run(new.cycle, new.name, {"cl.champion_before": new.champion})
    registry.runs.log_file(run, Path(new.evaluation.predictions), EVALUATION)
    challenger = Challenger(
        training=_no_training(new.folder, new.parent.history.rung), evaluation=new.evaluation, gates=new.gates
    )
    version = NewVersion(
        cycle=new.cycle,
        run=run,
        parent=new.parent,
        compared=new.champion,
        data_version=new.data_version,
        challenger=challenger,
        scores=new.scores,
        residual_experiences=new.residual_experiences,
        why=(new.why,),
    )
    with stage("register"):
        registration = register(config, stores, version)
    with stage("smoke test"):
        report = smoke_test(config, stores, registration, challenger)
    with stage("promote"):
        outcome = promote(
            registry,
            stores.ledger,
            registration.model_copy(update={"passed": report.passed}),
            expected=new.champion,
            why=new.why,
        )
    if not outcome.promoted:
        log.error(
            "version %s does not answer as when it was evaluated: version %s stays", registration.version, new.champion
        )
    registry.runs.end_run(run)
    return registration.version


def _no_training(folder: Path, rung: str | None) -> Training:
    return Training(
        challenger=str(folder),
        rung=rung,
        experiences=[],
        epochs=0,
        steps=0,
        rows_new=0,
        rows_recalled=0,
        seconds=0.0,
        validation_score=None,
        losses=[],
    )
