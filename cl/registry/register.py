"""Register a challenger as a version with everything that continual learning needs to go on."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch

from cl import __version__
from cl.config import Config
from cl.evaluation.best_so_far import best_rows, carry_over, load_best, save_best
from cl.evaluation.text_files import read_general
from cl.extras import DISTRIBUTION
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.probes import save_probes, take_probes
from cl.models.snapshot import Snapshot, join_snapshots, save_reference, take_snapshot
from cl.records import TABLE, Challenger, Evaluation, GateReport, Registration, Score, Training
from cl.records.history import History
from cl.records.past_scores import PastScores
from cl.registry.descriptions import describe_version, refresh_descriptions
from cl.registry.lineage import LocalVersion
from cl.registry.model_card import write_card
from cl.registry.tagger import tagger_tags
from cl.stores.data.draw import draw_rows
from cl.stores.data.experiences import RowsOf
from cl.stores.data.label_changes import read_label_changes
from cl.stores.files import sha256
from cl.stores.manifest import MANIFEST, write_manifest
from cl.stores.mlflow.registry import COMPARED, FORM, PARENT
from cl.stores.mlflow.runs import Runs
from cl.stores.stores import Stores
from cl.stores.version_folder import save_history
from cl.training.left_out import left_out_answers

PACKAGES = ("torch", "transformers", "mlflow", "dvc", "prefect", "pandas", "numpy")
SPLIT = "cl_split"
"""The split that a row belongs to, in a column of its own."""
SHOWN_SCORES = 20
"""The newest experiences whose scores are metrics in MLflow; the cycle's record has all of them."""
OPTIONAL_PACKAGES = ("onnxruntime",)
"""Optional packages that some versions run on."""


@dataclass(frozen=True)
class NewVersion:
    """A challenger to register, with its provenance.

    ``parent`` is the version that it was trained or derived from, ``compared`` the champion that it was compared with.
    ``scores`` are those of the experiences before it, with which its evaluation began.
    ``residual_experiences`` are experiences with deleted rows that its weights were trained on. ``run`` is its MLflow
    run. ``corrections`` is the number of corrections that it was trained after; None: those of its parent. ``why`` are
    the reasons to make it.
    """

    cycle: str
    run: str
    parent: LocalVersion
    compared: str | None
    data_version: str
    challenger: Challenger
    scores: PastScores
    residual_experiences: Sequence[str] = ()
    corrections: int | None = None
    why: Sequence[str] = ()


def register(config: Config, stores: Stores, new: NewVersion) -> Registration:
    """Complete the challenger's folder, write its manifest, and log it as a version of the model.

    The step may be repeated: a version that this cycle registered before is returned unchanged. If a smoke test
    follows, a version that passed its gates is ``pending`` until the test ends, and cannot be promoted.
    """
    challenger, past = new.challenger, new.parent.history
    training, evaluation, gates = challenger.training, challenger.evaluation, challenger.gates
    folder = Path(training.challenger)
    learned = list(dict.fromkeys([*past.learnt, *training.experiences]))
    if not (folder / MANIFEST).exists():
        learner = load_learner(folder)
        reference = drift_reference(config, stores.experiences.rows_of, folder, learned, learner)
        save_reference(reference, folder)
        score = float(reference.frame["score"].mean()) if len(reference.frame) else None
        save_history(_history(config, stores, new, learned=learned, score=score), folder)
        best = best_rows(pd.read_parquet(evaluation.predictions))
        # a version that only replaces its parent may be there to forget rows: nothing is carried over to it
        is_replacement = not (training.experiences or training.form)
        earlier = None if is_replacement or new.parent.folder is None else load_best(new.parent.folder)
        save_best(carry_over(best, earlier), folder)
        (folder / "gates.json").write_text(gates.model_dump_json(indent=1), encoding="utf-8")
        _gates_table(gates).to_parquet(folder / "gates.parquet", index=False)
        (folder / "evaluation.json").write_text(evaluation.model_dump_json(exclude_defaults=True), encoding="utf-8")
        if learner.writes and not learner.has_decoder:
            save_probes(take_probes(learner, read_general(None, stores.project.root)), folder)
        write_card(folder, config.name, evaluation, gates, training)
        write_manifest(folder)
    stores.registry.files.log_record(new.run, folder)
    version = stores.registry.log_version(
        new.run,
        folder,
        tags={
            "cl.cycle_id": new.cycle,
            "cl.gates": _verdict_tag(config, gates),
            "cl.gates_digest": sha256(folder / "gates.json"),
            "cl.experience": [*learned, *training.experiences][-1],
            PARENT: new.parent.version or "",
            COMPARED: new.compared or "",
            **({FORM: training.form} if training.form else {}),
            **tagger_tags(evaluation.tagger, evaluation.numbers),
            "cl.data_version": new.data_version,
        },
        metrics=evaluation_metrics(evaluation),
    )
    _describe(stores, new, version)
    return Registration(version=version, passed=gates.passed)


def _describe(stores: Stores, new: NewVersion, version: str) -> None:
    challenger = new.challenger
    body = describe_version(
        version=version,
        parent=new.parent.version,
        compared=new.compared,
        training=challenger.training,
        evaluation=challenger.evaluation,
        gates=challenger.gates,
        why=new.why,
    )
    refresh_descriptions(stores.registry, stores.ledger.entries(stores.registry.model), [version], body=body)


def _history(config: Config, stores: Stores, new: NewVersion, *, learned: list[str], score: float | None) -> History:
    training, labels = new.challenger.training, read_label_changes(stores.project)
    return History(
        learnt=learned,
        scores=new.scores.after(new.challenger.evaluation.newest, new.challenger.evaluation.row),
        score=score,
        cycle=new.cycle,
        parent=new.parent.version,
        rung=training.rung,
        form=training.form,
        base_model=new.parent.history.base_model or config.model.name,
        data_version=new.data_version,
        data_dvc=(stores.project.root / "data.dvc").read_text(encoding="utf-8"),
        config=config.recorded,
        config_digest=config.digest,
        residual_experiences=list(new.residual_experiences),
        corrections=new.parent.history.corrections if new.corrections is None else new.corrections,
        label_changes=len(labels.changes),
        former_labels=labels.former(),
        seed=config.seed,
        git_commit=git_commit(stores.project.root),
        packages=package_versions(),
        machine=describe_machine(),
    )


def _gates_table(gates: GateReport) -> pd.DataFrame:
    """Return the gates' parts as a table with fixed columns and types."""
    numbers = dict.fromkeys(["measured", "bound", "p_value", "alpha"], "float64")
    return pd.DataFrame(gates.table, columns=TABLE).astype({**numbers, "rows": "Int64", "rows_needed": "Int64"})


def _verdict_tag(config: Config, gates: GateReport) -> str:
    if not gates.passed:
        return "failed"
    return "pending" if config.evaluation.smoke_rows else "passed"


def evaluation_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the evaluation's metrics by their names in MLflow, without the undecided ones.

    MLflow groups metrics by their prefix and sorts the groups by name, so the challenger's come first.
    """
    mean = f"mean_{evaluation.metric}"  # over experiences, not over rows
    challenger = {
        mean: evaluation.accuracy,
        "forgetting_max": evaluation.forgetting_max,
        "bwt": evaluation.backward_transfer,
        "size_mb": evaluation.size_mb,
        **evaluation.numbers,
        **_averages(evaluation),
        **_by_experience(evaluation.challenger),
    }
    champion = {
        mean: evaluation.champion_accuracy,
        **evaluation.champion_numbers,
        **_by_experience(evaluation.champion),
    }
    together = {
        f"difference/{each.metric}{suffix}": value
        for each in evaluation.comparisons
        for suffix, value in (("", each.difference), ("_low", each.low), ("_high", each.high))
    }
    challenger |= {each.metric: each.challenger for each in evaluation.comparisons}
    champion |= {each.metric: each.champion for each in evaluation.comparisons}
    metrics = {
        **together,
        **{f"challenger/{name}": value for name, value in challenger.items()},
        **{f"champion/{name}": value for name, value in champion.items()},
    }
    return {name: value for name, value in metrics.items() if value is not None}


def _averages(evaluation: Evaluation) -> dict[str, float]:
    """Return the averages over entity types: micro_precision, ..., weighted_f1."""
    return {
        f"{name.removesuffix(' avg')}_{metric}": scores[metric]
        for name, scores in evaluation.report.items()
        if name.endswith(" avg")
        for metric in ("precision", "recall", "f1")
    }


def _by_experience(scores: Sequence[Score]) -> dict[str, float | None]:
    return {f"score/{score.experience}": score.value for score in scores[-SHOWN_SCORES:]}


def log_epochs(runs: Runs, run: str, training: Training) -> None:
    """Log what training measured after each epoch."""
    runs.log_series(run, "loss", training.losses)
    runs.log_series(run, "validation_score", training.validation_scores)


def drift_reference(
    config: Config, rows_of: RowsOf, folder: Path, learnt: list[str], learner: Learner | None = None
) -> Snapshot:
    """Return a snapshot of a version on held-out rows of the experiences learned, the reference for drift detection.

    At most ``drift.reference_rows`` rows are drawn. Validation rows that the version has learned are answered as if it
    had not. ``learner`` is the version's; None: it is loaded.
    """
    most = config.drift.reference_rows
    held_out = draw_rows(rows_of, learnt, ("validation", "test"), most=most, seed=config.seed, column=SPLIT)
    learner = learner or load_learner(folder)
    answering, snapshots = left_out_answers(folder, learner), list[Snapshot]()
    for split, rows in held_out.groupby(SPLIT, sort=False):
        logits = answering(learnt[-1], rows) if split == "validation" else None
        snapshots.append(take_snapshot(learner, rows.reset_index(drop=True), logits=logits))
    return join_snapshots(snapshots) if snapshots else take_snapshot(learner, held_out)


def git_commit(root: Path) -> str | None:
    """Return the commit of the git repository that contains the project; None without a repository, or without git."""
    git = shutil.which("git")
    if git is None:
        return None
    result = subprocess.run([git, "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    installed = [*PACKAGES, *(name for name in OPTIONAL_PACKAGES if find_spec(name) is not None)]
    versions = {name: package_version(name) for name in installed}
    return {DISTRIBUTION: __version__, **versions, "python": platform.python_version()}


def describe_machine() -> dict[str, str]:
    """Describe this machine, as far as bit-exact results may depend on it."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "system": platform.system(),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "device": device,
        "threads": str(torch.get_num_threads()),
    }
