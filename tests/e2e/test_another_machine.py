"""The stream goes on elsewhere, and after a rollback, as if nothing had been: the whole learner is in the registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from cl import config
from cl.commands.promotion import roll_back
from cl.cycle.source import read_source
from cl.errors import StoreError
from cl.evaluation.best_so_far import load_best
from cl.lifecycle import run_waiting
from cl.models.snapshot import load_reference
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from cl.stores.version_folder import load_history
from tests.support.tiny import made_sentences, tiny_project
from tests.support.versions import assert_same_version

LENIENT = [{"name": "floor", "min": 0.0}]
FEW_EPOCHS = {"epochs": 5, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "precision": "float32"}
"""What is compared is whether two versions are equal, not how good they are."""
SHORT = {"smoke_rows": 0, "robustness": [], "latency_calls": 3}


def shop(folder: Path, tiny_model: Path, **changes: object) -> ProjectFolder:
    return tiny_project(folder, tiny_model, gates=LENIENT, training=FEW_EPOCHS, evaluation=SHORT, **changes)


def arrives(project: ProjectFolder, name: str, labels: list[str], seed: int) -> None:
    (project.root / "inbox").mkdir(exist_ok=True)
    made_sentences(labels, 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def version(project: ProjectFolder, number: str) -> Path:
    folder = open_stores(project, config.load(project.config)).champion_folder(number)
    assert folder is not None
    return folder


def assert_same_learner(one: Path, other: Path) -> None:
    """Weights, labels, buffers and statistics to the bit; and what drift and gates go on from."""
    assert_same_version(one, other)
    first, second = load_reference(one), load_reference(other)
    assert first.frame.equals(second.frame) and (first.embeddings == second.embeddings).all()
    assert first.known_labels == second.known_labels
    assert load_best(one).equals(load_best(other))
    assert load_history(one).scores == load_history(other).scores
    assert load_history(one).learnt == load_history(other).learnt


def shared(folder: Path) -> dict[str, str]:
    """Stores at absolute places, which both machines share."""
    return {
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "ledger_uri": f"sqlite:///{folder}/ledger.db",
        "artifacts": str(folder / "artifacts"),
        "dvc_remote": str(folder / "remote"),
    }


def test_another_machine_goes_on_from_the_shared_stores_alone(tmp_path, tiny_model) -> None:
    ours = shop(tmp_path / "ours", tiny_model, stores=shared(tmp_path))
    arrives(ours, "one", ["loan", "fee"], seed=1)
    arrives(ours, "two", ["loan", "box"], seed=2)
    assert [cycle.champion_after for cycle in run_waiting(ours)] == ["1", "2"]

    theirs = ProjectFolder(tmp_path / "theirs")
    theirs.root.mkdir()
    for name in ("cl.yaml", "data.dvc"):
        shutil.copy(ours.root / name, theirs.root / name)
    # the stores as the first machine leaves them: each of the two then makes its own third version
    (tmp_path / "left").mkdir()
    left = [shutil.copy(tmp_path / name, tmp_path / "left" / name) for name in ("mlflow.db", "ledger.db")]

    for project in (ours, theirs):
        arrives(project, "three", ["loan", "shoe"], seed=3)
    (here,) = run_waiting(ours)
    third = version(ours, "3")
    for file in left:
        shutil.copy(file, tmp_path)
    (there,) = run_waiting(theirs)
    assert (here.champion_before, there.champion_before) == ("2", "2")
    assert (here.experience.id, there.experience.id) == ("0003-three", "0003-three")
    assert (here.champion_after, there.champion_after) == ("3", "3")
    assert here.drift.findings == there.drift.findings and here.training.losses == there.training.losses
    assert_same_learner(third, version(theirs, "3"))


def test_a_data_dvc_that_came_with_git_brings_its_data(tmp_path, tiny_model) -> None:
    ours = shop(tmp_path / "ours", tiny_model, stores=shared(tmp_path))
    arrives(ours, "one", ["loan", "fee"], seed=1)
    run_waiting(ours)
    theirs = ProjectFolder(tmp_path / "theirs")
    theirs.root.mkdir()
    raw = yaml.safe_load(ours.config.read_text())
    (theirs.root / "cl.yaml").write_text(yaml.safe_dump(raw))
    (theirs.root / "inbox").mkdir()
    shutil.copy(ours.root / "data.dvc", theirs.root / "data.dvc")
    shutil.copy(ours.root / "inbox/one.csv", theirs.root / "inbox/one.csv")
    assert run_waiting(theirs) == [], "what the stream holds is no news, though this machine has never read it"

    arrives(ours, "two", ["loan", "box"], seed=2)
    run_waiting(ours)
    shutil.copy(ours.root / "data.dvc", theirs.root / "data.dvc")
    assert run_waiting(theirs) == []
    assert sorted(one.name for one in theirs.experiences.iterdir()) == ["0001-one", "0002-two"]

    (theirs.root / "data.dvc").write_text((theirs.root / "data.dvc").read_text().replace("md5: ", "md5: 00"))
    with pytest.raises(StoreError, match="`dvc push` on the machine"):
        run_waiting(theirs)


@pytest.mark.parametrize("strategy", [["replay", "ewc"], "ranpac"])
def test_after_a_rollback_the_next_version_is_that_of_a_run_in_which_the_bad_one_never_was(
    tmp_path, tiny_model, strategy
) -> None:
    strategy = {"name": "ranpac", "features": 64} if strategy == "ranpac" else strategy
    both = [shop(tmp_path / name, tiny_model, strategy=strategy) for name in ("with-it", "without")]
    with_it, without = both
    for project in both:
        arrives(project, "one", ["loan", "fee"], seed=1)
        run_waiting(project)
        arrives(project, "two", ["loan", "box"], seed=2)
    (bad,) = run_waiting(with_it)
    assert bad.champion_after == "2" and bad.training.labels_added == ["box"]
    assert roll_back(with_it.root, None, why="bad").to_version == "1"

    # the other project's second experience is ingested as well, so that ids and seeds are the same, and never learnt
    settings = config.load(without.config)
    read_source(settings, open_stores(without, settings))
    for project in both:
        arrives(project, "three", ["loan", "shoe"], seed=3)
    (after,) = run_waiting(with_it)
    (never,) = run_waiting(without, again="0003-three")
    assert (after.champion_after, never.champion_after) == ("3", "2")
    assert after.training.experiences == never.training.experiences == ["0003-three"]
    assert after.training.labels_added == never.training.labels_added == ["shoe"]
    assert_same_learner(version(with_it, "3"), version(without, "2"))
