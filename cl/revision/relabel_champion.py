"""Replace the champion by a version that answers the new labels, and withdraw the versions that answer former ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.evaluation.best_so_far import load_best
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import judge
from cl.process.progress import stage
from cl.promotion.replace_champion import Replacement, replace_champion
from cl.promotion.withdraw_versions import withdraw_versions
from cl.records import Evaluation, GateReport
from cl.registry.lineage import LocalVersion, find_learning_version, recorded_or_current
from cl.revision.plan_labels import ChangePlan
from cl.stores.manifest import MANIFEST
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history
from cl.training.relabel_learner import relabel_learner, rename_labels
from cl.training.train import save_version, training_seed, validation_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplacedChampion:
    """The version in the champion's place, None without a champion, and the versions that were withdrawn."""

    version: str | None
    withdrawn: list[str]


def relabel_champion(
    config: Config, stores: Stores, plan: ChangePlan, *, data_version: str, scratch: Path
) -> ReplacedChampion:
    """Replace the champion, and withdraw every version that was made before; may be repeated.

    Args:
        config: the current one; the configuration recorded with the champion takes precedence.
        stores: the data has the new labels.
        plan: the change.
        data_version: DVC's hash of data/ with the new labels.
        scratch: a local folder.
    """
    registry, change = stores.registry, plan.change
    infos = {info.version: info for info in registry.versions()}
    ours = [version for version, info in infos.items() if info.tags.get(CYCLE_ID) == _name(plan)]
    champion = stores.ledger.champion(registry.model)
    version = champion if champion in ours else None
    if champion is not None and version is None:
        version = _replace(config, stores, plan, champion, data_version, scratch)
    before = [known for known in infos if known not in ours and known != version]
    withdrawn = [known for known in before if infos[known].withdrawn is None]
    why = f"it answers labels of before change {change.number}: {change.describe()}"
    withdraw_versions(registry, stores.ledger, withdrawn, why=why)
    return ReplacedChampion(version, withdrawn)


def _replace(config: Config, stores: Stores, plan: ChangePlan, champion: str, data_version: str, scratch: Path) -> str:
    """Register the champion with the new labels, promote it, and return its version.

    A compressed champion in int8 or ONNX is replaced by one made from the trained version behind it.
    """
    folder, change = scratch / f"champion-{champion}", plan.change
    local = stores.champion_folder(champion)
    assert local is not None
    parent = find_learning_version(stores, LocalVersion(champion, local, load_history(local)))
    if parent.version != champion:
        log.warning(
            "version %s is a compressed form of version %s, which replaces it: compress it again with `cl distil`",
            champion,
            parent.version,
        )
    history = parent.history
    recorded = recorded_or_current(config, history)
    if not (folder / MANIFEST).exists():  # else an earlier process evaluated and sealed it
        with stage("change the champion"):
            _save_relabelled(recorded, stores, plan, parent, folder)
        with stage("evaluate"):
            evaluation, report = _evaluate(recorded, stores, plan, parent, folder)
    else:
        evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_bytes())
        report = GateReport.model_validate_json((folder / "gates.json").read_bytes())
    return replace_champion(
        recorded,
        stores,
        Replacement(
            cycle=_name(plan),
            name=f"labels-{change.number:04d}",
            folder=folder,
            parent=parent,
            champion=champion,
            data_version=data_version,
            evaluation=evaluation,
            scores=parent.history.scores.without(_changed_experiences(plan)),
            gates=report,
            why=f"labels: {change.describe()}{': ' + change.why if change.why else ''}",
            residual_experiences=tuple(history.residual_experiences),
        ),
    )


def _save_relabelled(config: Config, stores: Stores, plan: ChangePlan, parent: LocalVersion, folder: Path) -> None:
    assert parent.folder is not None
    if plan.change.kind == "rename":
        made = rename_labels(parent.folder, plan.relabelling)
    else:
        learnt, rows_of = parent.history.learnt, stores.experiences.rows_of
        made = relabel_learner(
            config,
            parent.folder,
            plan.relabelling,
            past=lambda split: rows_of(learnt, split),
            validation=validation_rows(rows_of, learnt, training_seed(config.seed, learnt)),
        )
    save_version(made.learner, made.states, folder)


def _evaluate(
    config: Config, stores: Stores, plan: ChangePlan, parent: LocalVersion, folder: Path
) -> tuple[Evaluation, GateReport]:
    """Evaluate the version on the rows under their new labels; the gates are reported but refuse nothing.

    Scores under former labels say nothing about the new ones: where rows changed otherwise than by name, the accuracy
    matrix and the best answers begin again with this version.
    """
    assert parent.folder is not None
    changed = _changed_experiences(plan)
    rows_folder = folder.with_name("evaluation")
    rows_folder.mkdir(parents=True, exist_ok=True)
    evaluation = evaluate(
        config,
        Candidates(challenger=folder),
        HeldOut(
            parent.history.learnt,
            parent.history.scores.without(changed),
            stores.experiences.rows_of,
        ),
        folder=rows_folder,
    )
    table = _with_best(pd.read_parquet(evaluation.predictions), load_best(parent.folder), changed)
    table.to_parquet(evaluation.predictions, index=False)
    policy = config.gate_policy.model_copy(update={"mode": "dry_run"})
    return evaluation, judge(config.model_copy(update={"gate_policy": policy}), evaluation, table)


def _changed_experiences(plan: ChangePlan) -> list[str]:
    """Return the experiences with rows that changed otherwise than by the name of their label."""
    return [] if plan.change.kind == "rename" else list(plan.change.rows)


def _with_best(table: pd.DataFrame, earlier: pd.DataFrame | None, changed: list[str]) -> pd.DataFrame:
    """Return the table with the best score so far of each row, as far as its experience is unchanged."""
    if earlier is None or earlier.empty:
        return table
    known = earlier[~earlier["experience"].isin(changed)].set_index(["experience", "id"])["score"]
    best = known.reindex(pd.MultiIndex.from_frame(table[["experience", "id"]])).to_numpy()
    return table.assign(best_score=pd.Series(best, table.index).fillna(table["challenger_score"].astype(float)))


def _name(plan: ChangePlan) -> str:
    """Return the name of a change, used like a cycle's id."""
    stamp = plan.change.changed_at.strftime("%Y%m%d%H%M%S")
    return f"labels-{plan.change.number:04d}-{stamp}"
