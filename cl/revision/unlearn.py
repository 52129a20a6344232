"""Replace the champion by a version without the given rows, and withdraw every version that contains them."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import judge
from cl.process.progress import stage
from cl.promotion.replace_champion import Replacement, replace_champion
from cl.promotion.withdraw_versions import withdraw_versions
from cl.records import Cycle, Evaluation, GateReport, Unlearning, VersionInfo
from cl.records.history import History
from cl.registry.lineage import LocalVersion, ancestry, find_learning_version, read_history, recorded_or_current
from cl.stores.data.removal import remove_from_table
from cl.stores.data.tombstones import RemovalRecord
from cl.stores.manifest import MANIFEST
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.mlflow.version_files import EVALUATION
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history
from cl.training.train import save_version, training_seed, validation_rows
from cl.training.unlearn_learner import unlearn_learner

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemovalRequest:
    """The rows to remove (experience -> split -> ids), the record of it, and DVC's hash of data/ without them."""

    rows: dict[str, dict[str, list[str]]]
    removal: RemovalRecord
    data_version: str

    @property
    def ids(self) -> set[str]:
        """The ids of all rows."""
        return {id for splits in self.rows.values() for ids in splits.values() for id in ids}

    @property
    def name(self) -> str:
        """The name of this removal, used like a cycle's id."""
        return f"forget-{self.removal.salt[:8]}-{self.removal.number:04d}"


@dataclass(frozen=True)
class RegisteredVersions:
    """All versions, and their histories as far as they are known."""

    infos: dict[str, VersionInfo]
    histories: dict[str, History]


def unlearn(config: Config, stores: Stores, leaving: RemovalRequest, *, scratch: Path, everywhere: bool) -> Unlearning:
    """Replace a champion that learned the rows, and remove them from what the registry keeps; may be repeated.

    Args:
        config: the current one; the configuration recorded with the champion takes precedence.
        stores: the data no longer contains the rows.
        leaving: the rows.
        scratch: a local folder.
        everywhere: also delete the files of older versions that contain the rows, instead of only withdrawing them.
    """
    registry = stores.registry
    infos = {info.version: info for info in registry.versions()}
    histories = {version: read_history(registry, info) for version, info in infos.items()}
    known = RegisteredVersions(
        infos, {version: history for version, history in histories.items() if history is not None}
    )
    holding = [
        version for version, history in histories.items() if history is None or set(history.learnt) & set(leaving.rows)
    ]
    ours = [version for version, info in infos.items() if info.tags.get(CYCLE_ID, "").startswith(leaving.name)]
    champion = stores.ledger.champion(registry.model)
    version = champion if champion in ours else None
    if champion in holding and champion not in ours:
        version = _replace(config, stores, leaving, champion, known, scratch)
    withdrawn = [holder for holder in holding if holder not in ours and holder != version]
    why = f"it contains rows that were forgotten (removal {leaving.removal.number})"
    withdraw_versions(registry, stores.ledger, withdrawn, why=why)
    for holder in withdrawn if everywhere else ():
        registry.files.delete_files(infos[holder])
    with stage("remove rows from the records"):
        _clean_runs(stores, infos, leaving.ids)
    now = next((read_history(registry, info) for info in registry.versions() if info.version == version), None)
    return Unlearning(version=version, exact=not (now and now.residual_experiences), withdrawn=withdrawn)


def _replace(
    config: Config, stores: Stores, leaving: RemovalRequest, champion: str, known: RegisteredVersions, scratch: Path
) -> str:
    """Register the champion without the rows, promote it, and return its version.

    A compressed champion in int8 or ONNX is replaced by one made from the trained version behind it.
    """
    folder, history = scratch / f"champion-{champion}", known.histories[champion]
    made_of = find_learning_version(stores, LocalVersion(champion, stores.champion_folder(champion), history))
    learner, source = made_of.version, made_of.folder
    assert learner is not None and source is not None
    if learner != champion:
        known = RegisteredVersions(known.infos, {**known.histories, learner: made_of.history})
        log.warning(
            "version %s is version %s in %s; it is replaced by a float version: compress it again with `cl distil`",
            champion,
            learner,
            history.form,
        )
    recorded = recorded_or_current(config, made_of.history)
    if not (folder / MANIFEST).exists():  # else an earlier process evaluated and sealed it
        with stage("unlearn"):
            traces = _learn_without(recorded, stores, leaving, learner, known, source, folder)
        with stage("evaluate"):
            evaluation, report = _evaluate_and_judge(recorded, stores, made_of.history, source, folder)
    else:
        traces = load_history(folder).residual_experiences
        evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_bytes())
        report = GateReport.model_validate_json((folder / "gates.json").read_bytes())
    number, why = leaving.removal.number, leaving.removal.why
    return replace_champion(
        recorded,
        stores,
        Replacement(
            cycle=f"{leaving.name}-{champion}",
            name=f"forget-{number:04d}",
            folder=folder,
            parent=made_of,
            champion=champion,
            data_version=leaving.data_version,
            evaluation=evaluation,
            scores=made_of.history.scores,
            gates=report,
            why=f"{leaving.removal.total} rows were forgotten (removal {number}){': ' + why if why else ''}",
            residual_experiences=tuple(traces),
        ),
    )


def _learn_without(
    config: Config,
    stores: Stores,
    leaving: RemovalRequest,
    champion: str,
    known: RegisteredVersions,
    source: Path,
    folder: Path,
) -> list[str]:
    """Save the champion's learner without the rows; return the experiences whose removed rows trained its weights."""
    learned, rows_of = known.histories[champion].learnt, stores.experiences.rows_of
    made = unlearn_learner(
        config,
        source,
        leaving.ids,
        past=lambda split: rows_of(learned, split),
        validation=validation_rows(
            rows_of, learned, training_seed(config.seed, _last_update(champion, known.histories))
        ),
    )
    save_version(made.learner, made.states, folder)
    before = known.histories[champion].residual_experiences
    line = [ancestor for ancestor in ancestry(champion, list(known.infos.values())) if ancestor in known.histories]
    trained = [ancestor for ancestor in line if not _is_solved(config, known.histories[ancestor])]
    if made.exact and not trained:
        return before
    seen = [id for id, splits in leaving.rows.items() if id in learned and splits.keys() & {"train", "validation"}]
    return sorted({*before, *seen})


def _is_solved(config: Config, history: History) -> bool:
    """Return whether a version's update trained no weight of the encoder, because its head is in closed form."""
    recorded = recorded_or_current(config, history)
    known = any(rung.name == history.rung for rung in recorded.ladder)
    solver = recorded.at_rung(history.rung if known else None).closed_form
    return solver is not None and not solver.trains_encoder


def _evaluate_and_judge(
    config: Config, stores: Stores, history: History, source: Path, folder: Path
) -> tuple[Evaluation, GateReport]:
    """Compare the champion without the rows with the champion that has them.

    The gates are reported but refuse nothing: a model that must forget cannot be kept because it was better.
    """
    rows_folder = folder.with_name("evaluation")
    rows_folder.mkdir(parents=True, exist_ok=True)
    evaluation = evaluate(
        config,
        Candidates(challenger=folder, champion=source),
        HeldOut(history.learnt, history.scores, stores.experiences.rows_of),
        folder=rows_folder,
    )
    policy = config.gate_policy.model_copy(update={"mode": "dry_run"})
    rows = pd.read_parquet(evaluation.predictions)
    return evaluation, judge(config.model_copy(update={"gate_policy": policy}), evaluation, rows)


def _clean_runs(stores: Stores, infos: dict[str, VersionInfo], ids: set[str]) -> None:
    """Remove rows from the stored predictions of all evaluations, and from the examples of past alarms."""
    registry, cycles = stores.registry, stores.registry.runs.cycles()
    runs = {cycle.id: cycle.run for cycle in cycles if cycle.evaluation and cycle.run}
    runs |= {info.tags[CYCLE_ID]: info.run_id for info in infos.values() if CYCLE_ID in info.tags}
    for cycle_id, run in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            path = registry.runs.evaluated(cycle_id, Path(folder))
            if path is not None and run and remove_from_table(path, ids):
                registry.runs.log_file(run, path, EVALUATION)
    for cycle in cycles:
        if any(ids & set(finding.examples) for finding in cycle.drift.findings):
            registry.runs.correct_cycle(_without_examples(cycle, ids))


def _without_examples(cycle: Cycle, ids: set[str]) -> Cycle:
    findings = [
        finding.model_copy(update={"examples": [id for id in finding.examples if id not in ids]})
        for finding in cycle.drift.findings
    ]
    return cycle.model_copy(update={"drift": cycle.drift.model_copy(update={"findings": findings})})


def _last_update(version: str, histories: dict[str, History]) -> list[str]:
    """Return the experiences of a version's last update, which determine its validation rows."""
    history = histories[version]
    while history.parent in histories:
        parent = histories[history.parent]
        if len(parent.learnt) < len(history.learnt):
            return history.learnt[len(parent.learnt) :]
        history = parent
    return history.learnt
