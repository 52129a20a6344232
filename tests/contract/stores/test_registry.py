"""What a registry of versions does: the same in memory, in MLflow on SQLite, and in MLflow on Postgres."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cl.config import PromotionSettings
from cl.errors import ConflictError, IntegrityError, RefusedError, StoreError
from cl.promotion.approval import approve, reject
from cl.promotion.by_hand import promote_by_hand, rollback, withdraw
from cl.promotion.promote import promote
from cl.records import Cycle, Decision, Drift, Experience, Registration, Validation
from cl.stores.files import sha256
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.manifest import check_manifest, write_manifest
from cl.stores.mlflow.database_client import SCHEMAS, DatabaseClient, read_database
from cl.stores.mlflow.registry import Registry
from cl.stores.mlflow.runs import Runs
from cl.stores.mlflow.version_files import VersionFiles
from cl.testing import MemoryLedger, MemoryRegistry
from cl.testing.memory import MemoryFiles, MemoryRuns

RECORDS = {"history.json": '{"losses": []}', "evaluation.json": '{"scores": {}}', "gates.json": '{"gates": []}'}
BY_PERSON = PromotionSettings(approval="person")


@dataclass
class Logged:
    """What somebody who looks into a run finds there."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    loss: list[float]
    datasets: dict[str, tuple[str, int]]
    ended: bool
    tags: dict[str, str]


@dataclass(frozen=True)
class InMemory:
    """A model without a version, in memory."""

    registry: MemoryRegistry
    ledger: MemoryLedger

    def add(self, **tags: str) -> str:
        """Register a version that has no file."""
        return self.registry.add_version(
            gates=tags.pop("gates", "passed"), tags={f"cl.{k}": v for k, v in tags.items()}
        )

    def delete(self, version: str) -> None:
        self.registry.delete_version(version)

    def damage(self, version: str, name: str, content: bytes | None) -> None:
        """Replace a stored file of a version, or remove it."""
        files = self.registry.memory.versions[version].files
        assert files is not None
        (path,) = (path for path in files if Path(path).name == name)
        files.pop(path) if content is None else files.update({path: content})

    def logged(self, run: str) -> Logged:
        found = self.registry.memory.runs[run]
        datasets = {name: (one["digest"], one["rows"]) for name, one in found.datasets.items()}
        loss = found.series.get("loss", [])
        return Logged(found.name, found.params, found.metrics, loss, datasets, found.ended, found.tags)

    def file(self, run: str, path: str) -> bytes:
        return self.registry.memory.runs[run].files[path]


@dataclass(frozen=True)
class InMlflow:
    """A model without a version, in MLflow; MLflow's own client looks into it."""

    registry: Registry
    ledger: Ledger
    artifacts: Path

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.registry.tracking_uri, self.registry.tracking_uri)

    def add(self, **tags: str) -> str:
        """Register a version that has no file."""
        model = self.registry.model
        if not self.client.search_registered_models(f"name='{model}'"):
            self.client.create_registered_model(model)
        (empty := self.artifacts / "empty").mkdir(parents=True, exist_ok=True)
        tags = {"cl.gates": "passed", "cl.parent": "", **{f"cl.{key}": value for key, value in tags.items()}}
        return str(self.client.create_model_version(model, empty.as_uri(), tags=tags).version)

    def delete(self, version: str) -> None:
        self.client.delete_model_version(self.registry.model, version)

    def damage(self, version: str, name: str, content: bytes | None) -> None:
        """Replace a stored file of a version, or remove it."""
        source = self.client.get_model_version(self.registry.model, version).source
        model = self.client.get_logged_model(source.rsplit("/", 1)[-1])
        (path,) = Path(model.artifact_location.removeprefix("file://")).rglob(name)
        path.unlink() if content is None else path.write_bytes(content)

    def logged(self, run: str) -> Logged:
        found = self.client.get_run(run)
        losses = sorted(self.client.get_metric_history(run, "loss"), key=lambda one: one.step)
        datasets = [one.dataset for one in found.inputs.dataset_inputs]
        return Logged(
            name=found.info.run_name,
            params=found.data.params,
            metrics=found.data.metrics,
            loss=[one.value for one in losses],
            datasets={one.name: (one.digest, json.loads(one.profile)["num_rows"]) for one in datasets},
            ended=found.info.status == "FINISHED",
            tags=found.data.tags,
        )

    def file(self, run: str, path: str) -> bytes:
        return Path(self.client.download_artifacts(run, path)).read_bytes()


Kind = InMemory | InMlflow


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tests.support.tiny import mlflow_database

    folder = tmp_path_factory.mktemp("registry")
    (folder / "m.db").write_bytes(mlflow_database())
    return f"sqlite:///{folder}/m.db"


@pytest.fixture(scope="session")
def on_postgres(postgres) -> str:
    """A database with MLflow's tables, for all tests: making them takes seconds."""
    uri = postgres.database("registry")
    Registry(uri, None, "other").initialise()
    return uri


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    """A model of its own, for each kind of store."""
    model = f"shop-{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        yield InMemory(MemoryRegistry(model=model), MemoryLedger())
        return
    uri = request.getfixturevalue(f"on_{request.param}")
    artifacts = tmp_path / "artifacts"
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db" if request.param == "sqlite" else uri)
    yield InMlflow(Registry(uri, str(artifacts), model), ledger, artifacts)


@pytest.fixture
def registry(kind: Kind) -> Registry:
    return kind.registry


@pytest.fixture
def ledger(kind: Kind) -> Ledger:
    return kind.ledger


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    """A sealed folder: to a registry a learner is files with a manifest."""
    folder = tmp_path / "learner"
    (folder / "encoder").mkdir(parents=True)
    (folder / "learner.json").write_text('{"task": {"name": "text_classification"}, "labels": ["fee", "loan"]}')
    (folder / "encoder" / "model.safetensors").write_bytes(b"weights" * 100)
    for name, text in RECORDS.items():
        (folder / name).write_text(text)
    write_manifest(folder)
    return folder


def registered(registry: Registry, learner: Path, cycle: str = "c1") -> str:
    run = registry.runs.start_run(cycle, "0001-one", {})
    tags = {"cl.cycle_id": cycle, "cl.gates": "passed"}
    return registry.log_version(run, learner, tags=tags, metrics={"accuracy": 0.5})


def a_cycle(name: str, run: str | None = None) -> Cycle:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Cycle(
        id=f"cycle-{name}",
        run=run,
        experience=Experience(
            id=name, name=name, source="test", ingested_at=at, rows={"train": 1}, labels={"fee": 1}, digest="0"
        ),
        started_at=at,
        seconds=1.0,
        data_version="0.dir",
        validation=Validation(passed=True),
        drift=Drift(experience=name, drifted=False),
        decision=Decision(action="none", reasons=["because"]),
    )


def refusal(ask: Callable[[], object]) -> str:
    """Return what a store says when it refuses: one line."""
    with pytest.raises(StoreError) as error:
        ask()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_store_may_be_made_ready_again_and_holds_nothing_at_first(registry) -> None:
    registry.initialise()
    registry.initialise()
    assert (registry.versions(), registry.runs.cycles(), registry.aliases()) == ([], [], {})
    assert registry.champion() is None and registry.ledger_head() is None


def test_a_cycle_has_one_run_however_often_it_is_begun(kind, registry) -> None:
    run = registry.runs.start_run("c1", "0001-one", {"cl.data_version": "0.dir"})
    assert registry.runs.start_run("c1", "0001-one", {}) == run != registry.runs.start_run("c2", "0002-two", {})
    found = kind.logged(run)
    assert (found.name, found.ended) == ("0001-one", False)
    assert (found.tags["cl.cycle_id"], found.tags["cl.data_version"]) == ("c1", "0.dir")


def test_a_parameter_is_logged_once_and_a_long_one_is_cut(kind, registry) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    registry.runs.log_params(run, {"seed": 1, "text": "x" * 9_000})
    registry.runs.log_params(run, {"seed": 2, **{f"p{at}": at for at in range(150)}})
    params = kind.logged(run).params
    assert (params["seed"], params["text"], params["p149"]) == ("1", "x" * 500, "149")


def test_numbers_and_series_are_logged_and_the_last_of_a_series_is_the_number(kind, registry) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    registry.runs.log_metrics(run, {"accuracy": 0.5, "score/0001-one": 0.25})
    registry.runs.log_series(run, "loss", [2.0, 3.0, 1.0])
    registry.runs.log_series(run, "empty", [])
    found = kind.logged(run)
    assert found.metrics == {"accuracy": 0.5, "score/0001-one": 0.25, "loss": 1.0}
    assert found.loss == [2.0, 3.0, 1.0]


def test_a_run_says_which_rows_it_learnt_from(kind, registry) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    registry.runs.log_dataset(run, "0001-one", digest=f"{'0' * 32}.dir-and-more", source="data", rows=5)
    assert kind.logged(run).datasets == {"0001-one": (f"{'0' * 32}.dir", 5)}


def test_files_and_folders_are_kept_as_they_are(kind, registry, learner, tmp_path) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    (tmp_path / "report.html").write_bytes(b"<html>")
    registry.runs.log_file(run, tmp_path / "report.html", "reports")
    registry.runs.log_folder(run, learner, "learner")
    assert kind.file(run, "reports/report.html") == b"<html>"
    assert kind.file(run, "learner/encoder/model.safetensors") == b"weights" * 100


def test_a_file_that_is_not_there_is_one_line(registry, tmp_path) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    refusal(lambda: registry.runs.log_file(run, tmp_path / "nowhere.json", "x"))
    refusal(lambda: registry.files.log_record(run, tmp_path / "nowhere"))


def test_a_run_that_is_not_there_is_one_line(registry, learner) -> None:
    registry.initialise()
    gone = uuid.uuid4().hex
    for ask in (
        lambda: registry.runs.log_params(gone, {"seed": 1}),
        lambda: registry.runs.log_metrics(gone, {"accuracy": 1.0}),
        lambda: registry.runs.log_series(gone, "loss", [1.0]),
        lambda: registry.runs.log_dataset(gone, "one", digest="0", source="data", rows=1),
        lambda: registry.runs.log_file(gone, learner / "gates.json", "x"),
        lambda: registry.runs.log_folder(gone, learner, "x"),
        lambda: registry.files.log_record(gone, learner),
        lambda: registry.runs.record_cycle(gone, a_cycle("0001-one")),
        lambda: registry.runs.correct_cycle(a_cycle("0001-one", run=gone)),
        lambda: registry.log_version(gone, learner, tags={"cl.cycle_id": "c1"}, metrics={}),
        lambda: registry.runs.end_run(gone),
    ):
        assert gone in refusal(ask)
    assert registry.versions() == [] and registry.runs.cycles() == []


def test_a_run_that_is_no_cycle_is_ended(kind, registry) -> None:
    run = registry.runs.start_run("tuning", "tuning", {})
    registry.runs.end_run(run)
    assert kind.logged(run).ended and registry.runs.cycles() == []


def test_finished_cycles_are_read_back_in_order_and_a_corrected_one_keeps_its_place(kind, registry) -> None:
    cycles = []
    for name in ("0001-one", "0002-two", "0003-three"):
        run = registry.runs.start_run(f"cycle-{name}", name, {})
        cycles.append(a_cycle(name, run))
        registry.runs.record_cycle(run, cycles[-1])
    registry.runs.start_run("under way", "0004-four", {})
    assert registry.runs.cycles() == cycles and kind.logged(cycles[0].run).ended
    cycles[1] = cycles[1].model_copy(update={"seconds": 2.0})
    registry.runs.correct_cycle(cycles[1])
    assert registry.runs.cycles() == cycles


def test_evaluated_rows_are_brought_where_there_are_some(registry, tmp_path) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    (folder := tmp_path / "got").mkdir()
    assert registry.runs.evaluated("c1", folder) is None and registry.runs.evaluated("no such cycle", folder) is None
    (tmp_path / "predictions.parquet").write_bytes(b"rows")
    registry.runs.log_file(run, tmp_path / "predictions.parquet", "evaluation")
    got = registry.runs.evaluated("c1", folder)
    assert got is not None and got.is_relative_to(folder) and got.read_bytes() == b"rows"


def test_a_store_without_a_server_has_no_page(registry) -> None:
    assert registry.runs.page(registry.runs.start_run("c1", "0001-one", {})) is None


def test_a_cycle_registers_one_version_however_often_it_is_repeated(registry, learner) -> None:
    before = datetime.now(UTC)
    assert registered(registry, learner) == registered(registry, learner) == "1"
    assert registered(registry, learner, "c2") == "2"
    first, second = registry.versions()
    assert (first.version, second.version) == ("1", "2")
    assert (first.run_id, second.run_id) == (
        registry.runs.start_run("c1", "", {}),
        registry.runs.start_run("c2", "", {}),
    )
    told = {name: value for name, value in first.tags.items() if not name.endswith(("_digest", "_digests"))}
    assert told == {"cl.cycle_id": "c1", "cl.gates": "passed"} and first.aliases == []
    assert first.tags == registry.tags("1") and first.tags["cl.manifest_digest"] == sha256(learner / "manifest.json")
    assert abs((first.created - before).total_seconds()) < 60
    assert registry.version_for_cycle("c2") == "2" and registry.version_for_cycle("c3") is None


def test_a_version_comes_back_whole_and_once_more(registry, learner, tmp_path) -> None:
    registered(registry, learner)
    folder = tmp_path / "versions" / "1"
    assert registry.download("1", folder) == folder == registry.download("1", folder)
    check_manifest(folder)
    names = {str(path.relative_to(learner)) for path in learner.rglob("*")}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == names
    assert (folder / "encoder" / "model.safetensors").read_bytes() == b"weights" * 100
    assert [path.name for path in (tmp_path / "versions").iterdir()] == ["1"], "no draft is left"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.safetensors", b"weights", "was changed after it was saved"),
        ("model.safetensors", None, "is missing"),
        ("manifest.json", b"{", "is damaged"),
        ("manifest.json", None, "not a complete version"),
    ],
)
def test_a_damaged_version_is_refused_and_leaves_nothing(
    kind, registry, learner, tmp_path, name, content, says
) -> None:
    registered(registry, learner)
    kind.damage("1", name, content)
    with pytest.raises(IntegrityError, match=rf"models:/{registry.model}/1: .*{says}.*`cl rollback`") as error:
        registry.download("1", tmp_path / "versions" / "1")
    assert "\n" not in str(error.value) and not list((tmp_path / "versions").iterdir())


def test_a_version_of_somebody_else_holds_no_learner(kind, registry, tmp_path) -> None:
    kind.add()
    with pytest.raises(IntegrityError, match="holds no learner"):
        registry.download("1", tmp_path / "versions" / "1")
    assert not list((tmp_path / "versions").iterdir())


def test_a_version_that_is_not_there_is_one_line(kind, registry, tmp_path) -> None:
    for known in (False, True):
        if known:
            kind.add()
        for ask in (
            lambda: registry.download("7", tmp_path / "versions" / "7"),
            lambda: registry.tags("7"),
            lambda: registry.tag_version("7", "cl.note", "x"),
            lambda: registry.set_alias("champion", "7"),
            lambda: registry.set_share("7", 0.5),
            lambda: registry.set_share("7", None),
        ):
            assert registry.model in refusal(ask)
        assert not (tmp_path / "versions" / "7").exists() and registry.champion() is None


def test_an_alias_is_on_one_version_at_a_time(kind, registry) -> None:
    for _ in range(2):
        kind.add()
    assert registry.champion() is None
    for alias in ("champion", "canary"):
        registry.set_alias(alias, "1")
    assert registry.versions()[0].aliases == ["canary", "champion"]
    registry.set_alias("champion", "2")
    assert registry.champion() == "2" and registry.aliases() == {"champion": "2", "canary": "1"}
    assert [one.aliases for one in registry.versions()] == [["canary"], ["champion"]]


def test_an_alias_is_taken_away_from_the_version_that_is_named(kind, registry) -> None:
    for _ in range(2):
        kind.add()
    registry.delete_alias("challenger")
    registry.set_alias("challenger", "2")
    registry.delete_alias("challenger", version="1")
    assert registry.aliases() == {"challenger": "2"}
    registry.delete_alias("challenger", version="2")
    registry.delete_alias("challenger", version="2")
    assert registry.aliases() == {}


def test_a_share_is_a_tag_while_there_is_one(kind, registry) -> None:
    kind.add(digest="d")
    before = registry.tags("1")
    registry.set_share("1", None)
    registry.set_share("1", 0.25)
    assert registry.tags("1") == {**before, "cl.share": "0.25"}
    registry.set_share("1", 1.0)
    assert registry.tags("1")["cl.share"] == "1"
    registry.set_share("1", None)
    assert registry.tags("1") == before


def test_a_tag_of_a_version_is_set_and_replaced(kind, registry) -> None:
    kind.add(gates="pending")
    for value in ("failed", "passed"):
        registry.tag_version("1", "cl.gates", value)
    assert registry.tags("1")["cl.gates"] == registry.versions()[0].tags["cl.gates"] == "passed"
    registry.tag_version("1", "cl.withdrawn", "it holds rows that were forgotten")
    assert registry.versions()[0].withdrawn == "it holds rows that were forgotten"


def test_a_description_is_set_and_replaced(kind, registry) -> None:
    version, other = kind.add(), kind.add()
    assert registry.description(version) == registry.model_description() == ""
    for text in ("Status: refused\n\n- one", "passed; 語"):
        registry.describe_version(version, text)
        registry.describe_model(f"of all: {text}")
        assert registry.description(version) == text and registry.description(other) == ""
        assert registry.model_description() == f"of all: {text}"
    with pytest.raises(StoreError):
        registry.description("7")


def test_a_metric_with_the_same_value_is_logged_once_and_an_epoch_without_a_score_is_left_out(kind, registry) -> None:
    run = registry.runs.start_run("c1", "0001-one", {})
    for value in (0.5, 0.5, 0.25):
        registry.runs.log_metrics(run, {"ece": value, "zero": 0.0})
    registry.runs.log_series(run, "validation_score", [0.5, None, 0.75])
    assert kind.logged(run).metrics == {"ece": 0.25, "zero": 0.0, "validation_score": 0.75}
    if isinstance(registry, MemoryRegistry):
        return
    history = registry.runs.client.get_metric_history
    assert [point.value for point in history(run, "ece")] == [0.5, 0.25] and len(history(run, "zero")) == 1
    assert [point.step for point in history(run, "validation_score")] == [1, 3]


def test_what_is_read_is_a_copy(kind, registry) -> None:
    kind.add()
    registry.set_alias("champion", "1")
    registry.tags("1")["cl.gates"] = registry.versions()[0].tags["cl.gates"] = "failed"
    registry.aliases()["champion"] = "7"
    assert registry.tags("1")["cl.gates"] == "passed" and registry.champion() == "1"


def test_the_ledgers_last_entry_is_remembered_as_soon_as_there_is_a_version(kind, registry) -> None:
    registry.initialise()
    refusal(lambda: registry.remember_head(1, "a" * 64))
    assert registry.ledger_head() is None
    kind.add()
    registry.remember_head(1, "a" * 64)
    registry.remember_head(12, "b" * 64)
    assert registry.ledger_head() == (12, "b" * 64)


def test_a_deleted_version_takes_its_aliases_along_and_its_number_is_not_given_again(kind, registry) -> None:
    for _ in range(2):
        kind.add()
    registry.set_alias("champion", "2")
    registry.set_alias("canary", "1")
    kind.delete("2")
    assert registry.aliases() == {"canary": "1"} and registry.champion() is None
    refusal(lambda: registry.tags("2"))
    assert kind.add() == "3" and [one.version for one in registry.versions()] == ["1", "3"]


def test_a_record_is_read_from_the_run_and_outlives_the_files(registry, learner) -> None:
    registered(registry, learner)
    (info,) = registry.versions()
    registry.files.log_record(info.run_id, learner)
    registry.files.delete_files(info)
    assert {name: registry.files.record(info, name) for name in RECORDS} == RECORDS
    assert registry.files.record(info, "no-such.json") is None


def test_a_record_that_only_the_files_have_is_kept_before_they_are_removed(registry, learner) -> None:
    registered(registry, learner)
    (info,) = registry.versions()
    assert registry.files.record(info, "gates.json") == RECORDS["gates.json"]
    for _ in range(2):
        registry.files.keep_record(info)
    registry.files.delete_files(info)
    assert {name: registry.files.record(info, name) for name in RECORDS} == RECORDS


def test_a_version_of_somebody_else_has_no_record(kind, registry) -> None:
    kind.add()
    assert registry.files.record(registry.versions()[0], "gates.json") is None


def test_removed_files_take_no_bytes_and_the_version_stays(registry, learner, tmp_path) -> None:
    for cycle in ("c1", "c2"):
        registered(registry, learner, cycle)
    first, second = registry.versions()
    assert registry.files.bytes_of(first) >= sum(path.stat().st_size for path in learner.rglob("*") if path.is_file())
    for _ in range(2):
        registry.files.delete_files(first)
    assert registry.files.bytes_of(first) == 0 < registry.files.bytes_of(second)
    assert registry.versions() == [first, second] and registry.tags("1")["cl.gates"] == "passed"
    with pytest.raises((StoreError, IntegrityError)) as error:
        registry.download("1", tmp_path / "versions" / "1")
    assert "\n" not in str(error.value) and not (tmp_path / "versions" / "1").exists()


def test_versions_are_promoted_rolled_back_and_withdrawn_in_aliases_and_ledger(kind, registry, ledger) -> None:
    model = registry.model
    for gates, parent in (("passed", ""), ("passed", "1"), ("failed", "2"), ("passed", "2")):
        kind.add(gates=gates, parent=parent, gates_digest=f"digest of {parent}")
    first = Registration(version="1", passed=True)
    assert promote(registry, ledger, first, expected=None, why="first").promoted
    assert promote_by_hand(registry, ledger, "2", why="better").from_version == "1"
    with pytest.raises(ConflictError, match="is version 2 now, not 1"):
        promote(registry, ledger, Registration(version="4", passed=True), expected="1", why="stale")
    with pytest.raises(RefusedError, match="did not pass its gates"):
        promote_by_hand(registry, ledger, "3", why="I like it")

    promote_by_hand(registry, ledger, "4", alias="canary", share=0.1, why="try")
    assert registry.aliases() == {"champion": "2", "canary": "4"} and registry.tags("4")["cl.share"] == "0.1"
    withdraw(registry, ledger, "canary", why="it errs")
    assert registry.aliases() == {"champion": "2"} and "cl.share" not in registry.tags("4")

    assert rollback(registry, ledger, None, why="bad").to_version == "1"
    assert registry.champion() == ledger.champion(model) == "1"
    entries = ledger.entries(model)
    assert [(one.action, one.to_version, one.state) for one in entries] == [
        ("promote", "1", "committed"),
        ("promote", "2", "committed"),
        ("promote", "4", "committed"),
        ("withdraw", None, "committed"),
        ("rollback", "1", "committed"),
    ]
    assert [one.verdict_digest for one in entries[:2]] == ["digest of ", "digest of 1"]
    assert first_violation(model, entries, head=registry.ledger_head()) is None
    assert registry.ledger_head() == (5, entries[-1].hash)


def test_a_person_says_yes_to_one_version_and_no_to_another(kind, registry, ledger) -> None:
    for parent in ("", "1", "2"):
        kind.add(parent=parent)
    promote_by_hand(registry, ledger, "1", why="first")
    for version, champion in (("2", "1"), ("3", "2")):
        passed = Registration(version=version, passed=True)
        assert promote(registry, ledger, passed, expected=champion, why="learnt", wanted=BY_PERSON).waiting
        assert registry.aliases() == {"champion": champion, "challenger": version}
        if version == "2":
            approve(registry, ledger, version, why="looks good", actor="ana@desk")
    reject(registry, ledger, "3", why="it misreads loans")
    with pytest.raises(ConflictError, match="no longer waits"):
        approve(registry, ledger, "3")
    assert registry.champion() == ledger.champion(registry.model) == "2"
    entries = ledger.entries(registry.model)
    assert [one.action for one in entries] == ["promote", "wait", "approve", "wait", "reject"]
    assert first_violation(registry.model, entries, head=registry.ledger_head()) is None


@pytest.mark.parametrize(
    ("real", "memory", "also"),
    [
        (Registry, MemoryRegistry, "download"),
        (Runs, MemoryRuns, "start_run"),
        (VersionFiles, MemoryFiles, "bytes_of"),
    ],
)
def test_nothing_of_the_registry_in_memory_falls_through_to_mlflow(real, memory, also) -> None:
    public = {name for name, member in vars(real).items() if callable(member) and not name.startswith("_")}
    assert also in public and public - {"initialise", "tracking"} <= set(vars(memory))


def test_a_database_that_is_read_directly_answers_like_mlflow(kind, learner) -> None:
    if isinstance(kind, InMemory):
        return  # no database
    registry = kind.registry
    versions = [registered(registry, learner, cycle) for cycle in ("c1", "c2", "c3")]
    registry.set_alias("champion", versions[0])
    registry.set_share(versions[1], 0.25)
    registry.remember_head(3, "f" * 64)
    kind.delete(versions[2])
    directly = Registry(registry.tracking_uri, registry.artifacts, registry.model, reading=True)
    assert isinstance(directly.runs.client, DatabaseClient)
    for name in ("aliases", "versions", "ledger_head", "missing_model"):
        assert getattr(directly, name)() == getattr(registry, name)(), name
    assert directly.runs.recorded() == registry.runs.recorded()
    assert directly.runs.recorded()[0].keys() == {"c1", "c2", "c3"}
    assert directly.tags(versions[1]) == registry.tags(versions[1])
    for version in versions:
        with pytest.raises(StoreError) if version == versions[2] else contextlib.nullcontext():
            directly.tags(version)


def test_what_was_never_written_is_read_as_nothing(tmp_path) -> None:
    directly = Registry(f"sqlite:///{tmp_path}/none.db", str(tmp_path / "artifacts"), "shop", reading=True)
    directly.initialise()
    assert (directly.versions(), directly.aliases(), directly.runs.cycles(), directly.runs.problem()) == (
        [],
        {},
        [],
        None,
    )
    assert not list(tmp_path.iterdir())


def test_tables_of_another_release_are_left_to_mlflow(on_sqlite, tmp_path) -> None:
    database = tmp_path / "m.db"
    database.write_bytes(Path(on_sqlite.removeprefix("sqlite:///")).read_bytes())
    uri = f"sqlite:///{database}"
    assert read_database(uri, "MLflow") is not None
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another'")
    assert read_database(uri, "MLflow") is None


def test_the_tables_of_the_installed_mlflow_are_known(tmp_path) -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert _get_latest_schema_revision() in SCHEMAS
