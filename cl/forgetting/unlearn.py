"""The champion gives way to itself without some rows: a new version, and those that hold the rows are withdrawn."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.errors import ConfigError
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.forgetting.unlearn_learner import unlearn_learner
from cl.gating.gate import judge
from cl.promotion.promote import promote
from cl.records import WITHDRAWN, Challenger, Cycle, Evaluation, GateReport, Training, Unlearning, VersionInfo
from cl.registry.lineage import History, LocalVersion, ancestry, find_learning_version, read_history, recorded_config
from cl.registry.register import NewVersion, register
from cl.registry.smoke_test import smoke_test
from cl.stores.data.removal import remove_from_table
from cl.stores.data.tombstones import RemovalRecord
from cl.stores.manifest import MANIFEST
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.mlflow.version_files import EVALUATION
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history
from cl.training.train import save_version, training_seed, validation_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemovalRequest:
    """The rows that leave: experience -> split -> ids; the record of it, and DVC's hash of data/ without them."""

    rows: dict[str, dict[str, list[str]]]
    removal: RemovalRecord
    data_version: str

    @property
    def ids(self) -> set[str]:
        """All of them."""
        return {id for splits in self.rows.values() for found in splits.values() for id in found}

    @property
    def name(self) -> str:
        """What stands for this removal where a cycle's id does for a cycle."""
        return f"forget-{self.removal.salt[:8]}-{self.removal.number:04d}"


@dataclass(frozen=True)
class RegisteredVersions:
    """All versions, with where they come from as far as it is known."""

    infos: dict[str, VersionInfo]
    histories: dict[str, History]


def unlearn(config: Config, stores: Stores, leaving: RemovalRequest, *, scratch: Path, everywhere: bool) -> Unlearning:
    """Replace a champion that has learnt from the rows, and take them out of what the registry keeps; repeatable.

    Args:
        config: as it is now; what the champion was learnt with goes first.
        stores: the data are without the rows already.
        leaving: the rows.
        scratch: a folder of this machine.
        everywhere: remove the files of older versions that hold the rows, not only their right to serve.
    """
    registry = stores.registry
    infos = {one.version: one for one in registry.versions()}
    found = {version: read_history(registry, one) for version, one in infos.items()}
    known = RegisteredVersions(infos, {version: one for version, one in found.items() if one is not None})
    holding = [version for version, one in found.items() if one is None or set(one.learnt) & set(leaving.rows)]
    ours = [version for version, one in infos.items() if one.tags.get(CYCLE_ID, "").startswith(leaving.name)]
    champion = stores.ledger.champion(registry.model)
    version = champion if champion in ours else None
    if champion in holding and champion not in ours:
        version = _replace(config, stores, leaving, champion, known, scratch)
    withdrawn = [holder for holder in holding if holder not in ours and holder != version]
    for holder in withdrawn:
        why = f"it holds rows that were forgotten (removal {leaving.removal.number})"
        registry.tag_version(holder, WITHDRAWN, why)
        if everywhere:
            registry.delete_files(infos[holder])
    _clean_runs(stores, infos, leaving.ids)
    now = next((read_history(registry, info) for info in registry.versions() if info.version == version), None)
    return Unlearning(version=version, exact=not (now and now.residual_experiences), withdrawn=withdrawn)


def _replace(
    config: Config, stores: Stores, leaving: RemovalRequest, champion: str, known: RegisteredVersions, scratch: Path
) -> str:
    """Register the champion without the rows, promote it, and return its version.

    What replaces a champion in int8 or ONNX is made of the version that learnt what it knows.
    """
    folder, registry, history = scratch / f"champion-{champion}", stores.registry, known.histories[champion]
    made_of = find_learning_version(stores, LocalVersion(champion, stores.champion_folder(champion), history))
    learner, source = made_of.version, made_of.folder
    assert learner is not None and source is not None
    if learner != champion:
        known = RegisteredVersions(known.infos, {**known.histories, learner: made_of.history})
        log.warning(
            "version %s is version %s in %s; what replaces it is in floats, and `cl distil` derives it again",
            champion,
            learner,
            history.form,
        )
    learnt_with = _recorded(config, made_of.history)
    if not (folder / MANIFEST).exists():  # else it was judged and sealed before this process
        traces = _learn_without(learnt_with, stores, leaving, learner, known, source, folder)
        evaluation, report = _judged(learnt_with, stores, made_of.history, source, folder)
    else:
        traces = load_history(folder).residual_experiences
        evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_bytes())
        report = GateReport.model_validate_json((folder / "gates.json").read_bytes())
    number, why = leaving.removal.number, leaving.removal.why
    run = registry.start_run(f"{leaving.name}-{champion}", f"forget-{number:04d}", {"cl.champion_before": champion})
    registry.log_file(run, Path(evaluation.predictions), EVALUATION)
    challenger = Challenger(
        training=_nothing_trained(folder, made_of.history.rung), evaluation=evaluation, gates=report
    )
    registration = register(
        learnt_with,
        stores,
        NewVersion(
            cycle=f"{leaving.name}-{champion}",
            run=run,
            parent=made_of,
            compared=champion,
            data_version=leaving.data_version,
            challenger=challenger,
            residual_experiences=traces,
        ),
    )
    report = smoke_test(learnt_with, stores, registration, challenger)
    told = f"{leaving.removal.total} rows were forgotten (removal {number}){': ' + why if why else ''}"
    promote(
        registry, stores.ledger, registration.model_copy(update={"passed": report.passed}), expected=champion, why=told
    )
    registry.end_run(run)
    return registration.version


def _learn_without(
    config: Config,
    stores: Stores,
    leaving: RemovalRequest,
    champion: str,
    known: RegisteredVersions,
    source: Path,
    folder: Path,
) -> list[str]:
    """Save the champion's learner without the rows; return the experiences whose rows its weights have learnt from."""
    learnt, rows_of = known.histories[champion].learnt, stores.experiences.rows_of
    made = unlearn_learner(
        config,
        source,
        leaving.ids,
        past=lambda: rows_of(learnt, "train"),
        validation=validation_rows(
            rows_of, learnt, training_seed(config.seed, _last_lesson(champion, known.histories))
        ),
    )
    save_version(made.learner, made.states, folder)
    before = known.histories[champion].residual_experiences
    line = [one for one in ancestry(champion, list(known.infos.values())) if one in known.histories]
    trained = [one for one in line if not _solved(config, known.histories[one])]
    if made.exact and not trained:
        return before
    seen = [id for id, splits in leaving.rows.items() if id in learnt and splits.keys() & {"train", "validation"}]
    return sorted({*before, *seen})


def _solved(config: Config, history: History) -> bool:
    """Tell whether a version's update has moved no weight of the encoder: its head was solved for."""
    learnt_with = _recorded(config, history)
    known = any(one.name == history.rung for one in learnt_with.ladder)
    return all(how.closed for how in learnt_with.at_rung(history.rung if known else None).built)


def _judged(
    config: Config, stores: Stores, history: History, source: Path, folder: Path
) -> tuple[Evaluation, GateReport]:
    """Evaluate the champion without the rows beside the champion with them.

    Its gates are told and refuse nothing: a model that must forget cannot stay because it was better before.
    """
    place = folder.with_name("evaluation")
    place.mkdir(parents=True, exist_ok=True)
    evaluation = evaluate(
        config,
        Candidates(challenger=folder, champion=source),
        HeldOut(history.learnt, history.matrix, stores.experiences.rows_of),
        folder=place,
    )
    policy = config.gate_policy.model_copy(update={"mode": "dry_run"})
    rows = pd.read_parquet(evaluation.predictions)
    return evaluation, judge(config.model_copy(update={"gate_policy": policy}), evaluation, rows)


def _clean_runs(stores: Stores, infos: dict[str, VersionInfo], ids: set[str]) -> None:
    """Take rows out of the stored predictions of all evaluations, and out of the examples of past alarms."""
    registry, cycles = stores.registry, stores.registry.cycles()
    runs = {one.id: one.run for one in cycles if one.evaluation and one.run}
    runs |= {one.tags[CYCLE_ID]: one.run_id for one in infos.values() if CYCLE_ID in one.tags}
    for cycle, run in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            path = registry.evaluated(cycle, Path(folder))
            if path is not None and run and remove_from_table(path, ids):
                registry.log_file(run, path, EVALUATION)
    for one in cycles:
        if any(ids & set(finding.examples) for finding in one.drift.findings):
            registry.correct_cycle(_without_examples(one, ids))


def _without_examples(cycle: Cycle, ids: set[str]) -> Cycle:
    findings = [
        one.model_copy(update={"examples": [id for id in one.examples if id not in ids]})
        for one in cycle.drift.findings
    ]
    return cycle.model_copy(update={"drift": cycle.drift.model_copy(update={"findings": findings})})


def _last_lesson(version: str, histories: dict[str, History]) -> list[str]:
    """Return the experiences of the last update that a version comes from: what it drew validation rows by."""
    history = histories[version]
    while history.parent in histories:
        parent = histories[history.parent]
        if len(parent.learnt) < len(history.learnt):
            return history.learnt[len(parent.learnt) :]
        history = parent
    return history.learnt


def _recorded(config: Config, history: History) -> Config:
    """Return the configuration that a version was learnt with; today's where that one cannot be read any more."""
    try:
        return recorded_config(config, history)
    except ConfigError:
        return config


def _nothing_trained(folder: Path, rung: str | None) -> Training:
    return Training(
        challenger=str(folder),
        rung=rung,
        experiences=[],
        epochs=0,
        steps=0,
        rows_new=0,
        rows_recalled=0,
        seconds=0.0,
        validation_score=0.0,
        losses=[],
    )
