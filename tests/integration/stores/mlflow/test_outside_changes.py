"""Whatever is deleted, renamed or moved in MLflow by hand: each command says it in a line, and a command undoes it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cl import config as configuration
from cl.project import Project
from cl.promotion.outside import outside_changes
from cl.serving.worker import ServingWorker
from cl.stores.mlflow.database_client import DatabaseClient
from cl.stores.mlflow.registry import Registry
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from tests.support.command import Said
from tests.support.five_versions import Shop
from tests.support.registry_reads import reads
from tests.support.tiny import made_sentences, tiny_project

Change = Callable[[MlflowClient], None]
QUICK = {"smoke_rows": 0, "baselines": False, "robustness": [], "latency_calls": 2, "throughput_rows": 8}
COMMANDS = {
    "status": ["status"],
    "history": ["history"],
    "report": ["report"],
    "audit": ["audit"],
    "champion": ["champion"],
    "lineage": ["lineage", "2"],
    "diff": ["diff", "1", "2"],
    "gates": ["gates", "2"],
    "gc": ["gc", "--dry-run"],
    "predict": ["predict", "my loan"],
    "promote": ["promote", "1", "--why", "x", "--despite-gates"],
    "rollback": ["rollback", "1", "--why", "x"],
    "run": ["run", "--plain"],
}
NUMBERS = itertools.count()


def experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("shop")
    assert found is not None
    return found.experiment_id


def run_of_champion(client: MlflowClient) -> str:
    run = client.get_model_version("shop", "2").run_id
    assert run is not None
    return run


def purge_experiment(client: MlflowClient) -> None:
    client.delete_experiment(id := experiment(client))
    client._tracking_client.store._hard_delete_experiment(id)  # as `mlflow gc` does


def purge_run(client: MlflowClient) -> None:
    client.delete_run(run := run_of_champion(client))
    client._tracking_client.store._hard_delete_run(run)  # as `mlflow gc` does


CHANGES: dict[str, tuple[Change, str, set[str]]] = {
    "the champion's version is deleted": (
        lambda client: client.delete_model_version("shop", "2"),
        "cl rollback VERSION",
        {"lineage", "diff", "gates", "predict", "run"},
    ),
    "the experiment is deleted": (
        lambda client: client.delete_experiment(experiment(client)),
        "cl audit --repair mlflow",
        {"status", "history", "report", "lineage", "diff", "gates", "run"},
    ),
    "the experiment is removed for good": (
        purge_experiment,
        "cl audit --repair mlflow",
        {"status", "history", "report", "lineage", "diff", "gates", "run"},
    ),
    "the experiment is renamed": (
        lambda client: client.rename_experiment(experiment(client), "other"),
        "cl audit --repair mlflow",
        {"status", "history", "report", "lineage", "diff", "gates", "run"},
    ),
    "a run is deleted": (
        lambda client: client.delete_run(run_of_champion(client)),
        "cl audit --repair mlflow",
        set(),
    ),
    "a run is removed for good": (purge_run, "cl audit --repair mlflow", set()),
    "the alias is moved": (
        lambda client: client.set_registered_model_alias("shop", "champion", "1"),
        "cl audit --repair mlflow",
        set(),
    ),
    "the alias is removed": (
        lambda client: client.delete_registered_model_alias("shop", "champion"),
        "cl audit --repair mlflow",
        set(),
    ),
    "the model is renamed": (
        lambda client: client.rename_registered_model("shop", "other"),
        "cl audit --repair mlflow",
        {"report", "audit", "lineage", "diff", "gates", "gc", "predict", "promote", "rollback", "run"},
    ),
    "the model is deleted": (
        lambda client: client.delete_registered_model("shop"),
        "cl audit --repair none",
        {"report", "audit", "lineage", "diff", "gates", "gc", "predict", "promote", "rollback", "run"},
    ),
}
"""What somebody does in MLflow, the remedy, and the commands that cannot do their work until then."""
SILENT = {"champion"}
"""It answers from the ledger, which nobody has changed."""


@pytest.fixture(scope="module")
def learned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("learned") / "shop"
    tiny_project(root, tiny_model, strategy="ncm", evaluation=QUICK)
    project = Project.open(root)
    for month, labels in enumerate((["loan", "fee"], ["loan", "fee", "card"])):
        made_sentences(labels, 60, seed=month).to_csv(root / "inbox" / f"m{month}.csv", index=False)
        project.run()
    assert project.champion == "2"
    made_sentences(["loan", "moon"], 60, seed=9).to_csv(root / "inbox" / "m9.csv", index=False)
    return root


def changed(learned: Path, folder: Path, change: Change) -> Shop:
    """Return a copy of the project in whose MLflow something was changed, at a path that no cache knows."""
    root = shutil.copytree(learned, folder / f"copy{next(NUMBERS)}" / "shop")
    change(MlflowClient(f"sqlite:///{root}/mlflow/mlflow.db"))
    project = ProjectFolder(root)
    return Shop(root, open_stores(project, configuration.load(project.config)))


def lines(said: Said) -> list[str]:
    return [line for line in said.err.splitlines() if "max_length" not in line]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("change", CHANGES)
def test_each_command_says_what_happened_and_what_to_do(learned, tmp_path, caplog, change, command) -> None:
    act, remedy, refused = CHANGES[change]
    shop = changed(learned, tmp_path, act)
    said = shop.cl(*COMMANDS[command])
    assert (said.code != 0) == (command in refused), said.err
    text = f"{said.out}\n{said.err}\n{caplog.text}"
    if command in refused:
        (error,) = [line for line in lines(said) if line.startswith("cl: ")]
        assert remedy in f"{error}\n{caplog.text}" and "not found" not in error and "must be in" not in error
    elif command in {"status", "history", "report", "audit", "lineage", "diff", "gates"}:
        assert remedy in text
    assert "Traceback" not in text


@pytest.mark.parametrize("change", ["nothing", *CHANGES])
def test_what_is_read_from_the_database_is_what_mlflow_says(learned, tmp_path, change) -> None:
    shop = changed(learned, tmp_path, CHANGES[change][0] if change in CHANGES else lambda client: None)
    registry = shop.stores.registry
    directly = Registry(registry.tracking_uri, registry.artifacts, registry.model, registry.kept, reading=True)
    assert isinstance(directly.runs.client, DatabaseClient)
    asked = ["1", "2", "7", "x"]
    assert reads(directly, asked) == reads(registry, asked)


@pytest.mark.parametrize("command", ["status", "history", "audit", "champion", "lineage", "diff", "gates"])
def test_a_command_that_only_looks_loads_neither_mlflow_nor_pandas(learned, command) -> None:
    code = (
        "import sys\n"
        "from cl.cli.main import cl\n"
        "cl(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'mlflow', 'pandas', 'torch', 'dvc', 'prefect'} & set(sys.modules)))\n"
    )
    arguments = [sys.executable, "-c", code, *COMMANDS[command], "-p", str(learned)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("change", CHANGES)
def test_the_remedy_makes_the_project_whole_again(learned, tmp_path, change) -> None:
    act, remedy, _ = CHANGES[change]
    shop = changed(learned, tmp_path, act)
    if "rollback" in remedy:
        arguments = ["rollback", "1", "--why", "x"]
    else:
        arguments = ["audit", "--repair", remedy.rsplit(" ", 1)[-1], "--why", "x"]
    done = shop.cl(*arguments)
    assert done.code == 0, done.err
    assert outside_changes(shop.stores.registry, shop.entries) == []
    history = [cycle["experience"]["id"] for cycle in shop.json("history")]
    assert history == ([] if "repair none" in remedy else ["0001-m0", "0002-m1"])
    assert shop.cl("run", "--plain").code == 0
    assert shop.cl("predict", "my loan").code == 0
    assert [cycle["experience"]["id"] for cycle in shop.json("history")] == ["0001-m0", "0002-m1", "0003-m9"]


@pytest.mark.parametrize("change", [name for name in CHANGES if "experiment" not in name and "run" not in name])
def test_the_server_logs_what_happened_once(learned, tmp_path, caplog, change) -> None:
    act, remedy, _ = CHANGES[change]
    shop = changed(learned, tmp_path, act)
    worker = ServingWorker(configuration.load(shop.root / "cl.yaml"), shop.stores, workers=1)
    for _ in range(2):
        worker.follower.poll()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line for line in warned if remedy in line] == outside_changes(shop.stores.registry, shop.entries)


def test_where_nothing_was_changed_there_is_nothing_to_undo(learned, tmp_path) -> None:
    shop = changed(learned, tmp_path, lambda client: None)
    assert shop.json("status")["outside"] == [] == shop.json("audit")["outside"]
    said = shop.cl("audit", "--repair", "mlflow", "--why", "x")
    assert said.code == 2 and "nothing to put back" in said.err


def test_a_previous_champion_that_was_deleted_is_named_with_the_others(learned, tmp_path) -> None:
    shop = changed(learned, tmp_path, lambda client: client.delete_model_version("shop", "1"))
    said = shop.cl("rollback", "--why", "x")
    assert said.code == 2 and "version 1 of 'shop', the champion before, was deleted from MLflow" in said.err
