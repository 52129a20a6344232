from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from cl.errors import IntegrityError, StoreError
from cl.extras import DISTRIBUTION
from cl.records import Cycle, Decision, Drift, Experience, Promotion, Validation
from cl.stores.files import sha256
from cl.stores.manifest import check_manifest
from cl.stores.mlflow.registry import Registry
from tests.support.repository import ROOT

START = ROOT / "mlflow" / "start.sh"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrated")
    Registry(f"sqlite:///{folder}/m.db", str(folder), "other").initialise()
    return folder / "m.db"


@pytest.fixture
def registry(tmp_path, migrated) -> Registry:
    shutil.copy(migrated, tmp_path / "m.db")
    registry = Registry(f"sqlite:///{tmp_path}/m.db", str(tmp_path / "artifacts"), "tiny")
    registry.initialise()
    return registry


def log(registry: Registry, learner, cycle: str = "c1", gates: str = "passed") -> str:
    run = registry.runs.start_run(cycle, "0001-one", {})
    tags = {"cl.cycle_id": cycle, "cl.gates": gates}
    return registry.log_version(run, learner, tags=tags, metrics={"accuracy": 0.5})


def a_cycle(name: str, *, promoted: bool | None = None) -> Cycle:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Cycle(
        id=f"cycle-{name}",
        experience=Experience(
            id=name, name=name, source="test", ingested_at=at, rows={"train": 1}, labels={"fee": 1}, digest="0"
        ),
        started_at=at,
        seconds=1.0,
        data_version="0.dir",
        validation=Validation(passed=True),
        drift=Drift(experience=name, drifted=False),
        decision=Decision(action="none" if promoted is None else "learn", reasons=["because", "so"]),
        promotion=None if promoted is None else Promotion(version="1", promoted=promoted),
    )


def test_a_version_comes_back_whole_and_answers_through_stock_mlflow(registry, learner, tmp_path) -> None:
    import mlflow

    version = log(registry, learner)
    got = registry.download(version, tmp_path / "versions" / version)
    check_manifest(got)
    assert (got / "head.safetensors").read_bytes() == (learner / "head.safetensors").read_bytes()
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [version], "no draft is left"

    mlflow.set_tracking_uri(registry.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/tiny/{version}")
    answers = model.predict(pd.DataFrame({"text": ["my loan", "the fee", "my loan"]}))
    assert list(answers.columns) == ["label", "confidence"]
    assert set(answers["label"]) <= {"fee", "loan"} and answers["label"][0] == answers["label"][2]
    assert not list((tmp_path / "artifacts").rglob("*.pkl"))
    (needs,) = (tmp_path / "artifacts").rglob("requirements.txt")
    assert "+" not in needs.read_text() and "torch==" in needs.read_text()
    assert needs.read_text().startswith(f"{DISTRIBUTION}==")


def test_a_cycle_that_is_repeated_makes_one_run_and_one_version(registry, learner) -> None:
    assert registry.runs.start_run("c1", "0001-one", {}) == registry.runs.start_run("c1", "0001-one", {})
    assert log(registry, learner) == log(registry, learner) == "1"
    assert registry.version_for_cycle("c1") == "1" and registry.version_for_cycle("c2") is None


def test_a_version_has_its_verdict_and_its_aliases(registry, learner) -> None:
    log(registry, learner, "c1", "passed")
    log(registry, learner, "c2", "failed")
    registry.set_alias("champion", "1")
    registry.set_alias("challenger", "2")
    first, second = registry.versions()
    assert (first.version, first.tags["cl.gates"], first.aliases) == ("1", "passed", ["champion"])
    assert (second.version, second.tags["cl.gates"], second.aliases) == ("2", "failed", ["challenger"])
    assert registry.champion() == "1" and first.created <= second.created
    registry.delete_alias("challenger")
    registry.delete_alias("challenger")
    assert registry.versions()[1].aliases == []


def test_the_champion_is_where_the_alias_points_and_none_before_there_is_one(registry, learner) -> None:
    assert registry.champion() is None  # no model yet
    log(registry, learner)
    assert registry.champion() is None  # no alias yet
    registry.set_alias("champion", "1")
    assert registry.champion() == "1"


def test_a_file_changed_in_the_artifact_store_is_refused_and_leaves_nothing(registry, learner, tmp_path) -> None:
    version = log(registry, learner)
    (stored,) = (tmp_path / "artifacts").rglob("head.safetensors")
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"/1: head\.safetensors was changed .* `cl rollback`"):
        registry.download(version, tmp_path / "versions" / version)
    assert not list((tmp_path / "versions").iterdir())


def test_stock_mlflow_refuses_a_changed_byte_too(registry, learner, tmp_path) -> None:
    import mlflow

    version = log(registry, learner)
    (stored,) = (tmp_path / "artifacts").rglob("head.safetensors")
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    mlflow.set_tracking_uri(registry.tracking_uri)
    with pytest.raises(IntegrityError, match=r"head\.safetensors was changed after it was saved"):
        mlflow.pyfunc.load_model(f"models:/tiny/{version}")


@pytest.mark.parametrize("inside", [True, False], ids=["in the learner, named by its manifest", "beside the learner"])
def test_a_pickle_in_the_artifact_store_is_refused_and_the_champion_stays(registry, learner, tmp_path, inside) -> None:
    first = log(registry, learner, "c1")
    registry.set_alias("champion", first)
    before = set((tmp_path / "artifacts").rglob("manifest.json"))
    second = log(registry, learner, "c2")
    (manifest,) = set((tmp_path / "artifacts").rglob("manifest.json")) - before
    folder = manifest.parent
    (folder if inside else folder.parent.parent).joinpath("extra.pkl").write_bytes(b"\x80\x04.")
    if inside:
        promised = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**promised, "extra.pkl": sha256(folder / "extra.pkl")}))
    with pytest.raises(IntegrityError, match=r"extra\.pkl (was not registered|has a suffix)") as error:
        registry.download(second, tmp_path / "versions" / second)
    assert "\n" not in str(error.value) and not list((tmp_path / "versions").iterdir())
    assert registry.champion() == first and registry.download(first, tmp_path / "versions" / first).is_dir()


def test_a_version_that_is_not_there_is_one_line(registry, tmp_path) -> None:
    with pytest.raises(StoreError) as error:
        registry.download("7", tmp_path / "versions" / "7")
    assert "\n" not in str(error.value) and "tiny" in str(error.value)


def test_cycles_are_read_back_in_order_and_only_finished_ones(registry, tmp_path) -> None:
    cycles = [a_cycle("0001-one", promoted=True), a_cycle("0002-two"), a_cycle("0003-three", promoted=False)]
    for cycle in cycles:
        registry.runs.record_cycle(registry.runs.start_run(cycle.id, cycle.experience.id, {}), cycle)
        time.sleep(0.002)
    registry.runs.start_run("under way", "0004-four", {})
    assert registry.runs.cycles() == cycles
    elsewhere = Registry(registry.tracking_uri, None, "tiny")
    assert elsewhere.runs.cycles() == cycles, "the registry alone is enough"


def test_more_cycles_than_a_page_holds_are_all_read_and_each_is_brought_once(registry, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cl.stores.mlflow.runs.PAGE", 2)
    cycles = [a_cycle(f"000{at}-month") for at in range(1, 6)]
    for cycle in cycles:
        registry.runs.record_cycle(registry.runs.start_run(cycle.id, cycle.experience.id, {}), cycle)
        time.sleep(0.002)
    keeping = Registry(registry.tracking_uri, registry.artifacts, "tiny", kept=tmp_path / "kept")
    assert registry.runs.cycles() == keeping.runs.cycles() == cycles
    shutil.rmtree(tmp_path / "artifacts")
    assert keeping.runs.cycles() == cycles, "none of them is asked for again"


def test_a_run_looks_as_people_expect_in_the_ui(registry, tmp_path) -> None:
    cycle = a_cycle("0001-one", promoted=False)
    run = registry.runs.start_run(cycle.id, "0001-one", {"cl.data_version": "0.dir"})
    registry.runs.log_params(run, {"seed": 1, "text": "x" * 9_000})
    registry.runs.log_params(run, {"seed": 2, **{f"p{at}": at for at in range(150)}})
    registry.runs.log_metrics(run, {"accuracy": 0.5, "score/0001-one": 0.5})
    registry.runs.log_series(run, "loss", [2.0, 1.0])
    registry.runs.log_dataset(run, "0001-one", digest=f"{'0' * 32}.dir", source="data", rows=5)
    (tmp_path / "gates.json").write_text("{}")
    registry.runs.log_file(run, tmp_path / "gates.json", "evaluation")
    registry.runs.record_cycle(run, cycle)

    found = registry.runs.client.get_run(run)
    assert (found.info.run_name, found.info.status) == ("0001-one", "FINISHED")
    assert (found.data.params["seed"], found.data.params["p149"]) == ("1", "149")
    assert found.data.metrics == {"accuracy": 0.5, "score/0001-one": 0.5, "loss": 1.0}
    assert (found.data.tags["cl.verdict"], found.data.tags["cl.version"]) == ("refused", "1")
    assert found.inputs.dataset_inputs[0].dataset.digest == f"{'0' * 32}.dir"
    names = {one.path for one in registry.runs.client.list_artifacts(run)}
    assert names == {"cycle.json", "evaluation"}


def test_an_object_store_may_hold_the_artifacts(migrated, tmp_path) -> None:
    shutil.copy(migrated, tmp_path / "m.db")
    registry = Registry(f"sqlite:///{tmp_path}/m.db", "s3://bucket/models", "tiny")
    registry.initialise()
    assert registry.runs.client.get_experiment(registry.runs._experiment).artifact_location == "s3://bucket/models"


@pytest.mark.nightly
def test_processes_may_open_a_fresh_store_together_and_quietly(tmp_path) -> None:
    code = (
        "from cl.stores.mlflow.registry import Registry; "
        f"Registry('sqlite:///{tmp_path}/m.db', None, 'tiny').initialise()"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in started:
        _, said = one.communicate(timeout=120)
        assert (one.returncode, said) == (0, "")


@pytest.mark.parametrize(
    "uri",
    ["http://me:secret@127.0.0.1:9", "postgresql+psycopg2://me:secret@127.0.0.1:9/x", "mysql+nodriver://me:secret@h/x"],
)
def test_a_store_out_of_reach_is_told_in_one_line_within_seconds(uri) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError) as error:
        Registry(uri, None, "tiny").initialise()
    assert time.monotonic() - started < 7
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(StoreError, match="no answer"):
            Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", None, "tiny").initialise()
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("text", "missing"), [("", "MLFLOW_BACKEND_STORE_URI"), ("MLFLOW_BACKEND_STORE_URI=x\n", "MLFLOW_ARTIFACTS")]
)
def test_the_start_script_names_the_setting_that_is_missing(tmp_path, text, missing) -> None:
    (tmp_path / "server.env").write_text(text)
    done = subprocess.run([START, tmp_path / "server.env"], capture_output=True, text=True)
    assert done.returncode == 2 and missing in done.stderr


@pytest.mark.nightly
def test_a_registry_behind_a_server_is_the_same_registry(learner, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/m.db",
        "MLFLOW_ARTIFACTS_DESTINATION": tmp_path / "kept",
        "MLFLOW_PORT": port,
        "MLFLOW_WORKERS": 1,
        "MLFLOW_S3_ENDPOINT_URL": "",
    }
    (tmp_path / "server.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    said = (tmp_path / "server.log").open("w")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    server = subprocess.Popen(
        [START, tmp_path / "server.env"],
        stdout=said,
        stderr=said,
        start_new_session=True,
        env={**os.environ, "PATH": path},
    )
    try:
        registry = Registry(f"http://127.0.0.1:{port}", None, "tiny")
        wait_for(registry, seconds=240)
        assert registry.champion() is None and registry.versions() == []
        assert log(registry, learner) == log(registry, learner) == "1"
        registry.set_alias("champion", "1")
        assert registry.champion() == "1" and registry.versions()[0].aliases == ["champion"]
        check_manifest(registry.download("1", tmp_path / "versions" / "1"))
        cycle = a_cycle("0001-one", promoted=True)
        registry.runs.record_cycle(registry.runs.start_run("c1", "0001-one", {}), cycle)
        assert registry.runs.cycles() == [cycle]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
        said.close()


def wait_for(registry: Registry, *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return registry.initialise()
        except StoreError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def test_mlflows_own_settings_are_afterwards_what_they_were(registry, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    with registry.runs.tracking():
        assert os.environ["MLFLOW_REGISTRY_URI"] == registry.tracking_uri
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///elsewhere.db"
