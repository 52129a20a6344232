"""A real registry and ledger, moved from SQLite to a real Postgres and back; what must stop a move stops it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from cl.commands.init import scaffold
from cl.commands.move_stores import move_stores
from cl.config import parse
from cl.errors import InputError, IntegrityError
from cl.promotion.alias_moves import remember_head
from cl.records import LedgerEntry, Move
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.migrate_rows import DatabaseRows
from cl.stores.mlflow.registry import Registry
from cl.stores.stores import Stores, open_stores


@pytest.fixture(scope="module")
def made(tmp_path_factory, learner) -> Stores:
    """A project with three versions, a rollback, and another model in the same database."""
    project = scaffold(tmp_path_factory.mktemp("made") / "shop", "name: shop\n")
    stores = open_stores(project, parse({"name": "shop"}, where="test"))
    DatabaseRows(stores.registry.tracking_uri, "shop").prepare()
    shutil.copy(project.root / "mlflow" / "mlflow.db", project.root / "empty.db")
    stores.registry.initialise()
    other = Registry(stores.registry.tracking_uri, stores.registry.artifacts, "other")
    for registry, cycle in [(other, "x"), (stores.registry, "a"), (stores.registry, "b"), (stores.registry, "c")]:
        run = registry.runs.start_run(cycle, f"month {cycle}", {"cl.data_version": "0.dir"})
        registry.runs.log_params(run, {"seed": 1})
        registry.runs.log_series(run, "loss", [2.0, 0.1 + 0.2, float("nan")])
        registry.runs.log_dataset(run, "one", digest=f"{'0' * 32}.dir", source="data", rows=5)
        tags = {"cl.cycle_id": cycle, "cl.gates": "passed"}
        registry.log_version(run, learner, tags=tags, metrics={"accuracy": 1 / 3})
    for to, action in [("1", "promote"), ("2", "promote"), ("1", "rollback")]:
        ledger, before = stores.ledger, stores.ledger.champion("shop")
        ledger.commit("shop", ledger.intend("shop", Move(action=action, expected=before, to=to, why="é", actor="me")))
    remember_head(stores.registry, stores.ledger.entries("shop"))
    stores.registry.set_alias("champion", "1")
    stores.registry.set_alias("challenger", "3")
    return stores


@pytest.fixture
def shop(made, tmp_path) -> Stores:
    """A copy of the project."""
    shutil.copytree(made.project.root, tmp_path / "shop")
    project = type(made.project)(tmp_path / "shop")
    return open_stores(project, parse({"name": "shop"}, where="test"))


@pytest.fixture
def empty(made, tmp_path) -> str:
    """A database with MLflow's tables and nothing in them."""
    shutil.copy(made.project.root / "empty.db", tmp_path / "new.db")
    return f"sqlite:///{tmp_path}/new.db"


def all_of(registry: Registry) -> list[object]:
    """Return versions, and each run with what was logged, without the addresses of files."""
    runs = [registry.runs.client.get_run(one.run_id).to_dictionary() for one in registry.versions()]
    for run in runs:
        del run["info"]["artifact_uri"], run["info"]["experiment_id"]
    return [registry.versions(), repr(runs)]


def entries(ledger: Ledger) -> list[LedgerEntry]:
    return ledger.entries("shop")


def move(shop: Stores, uri: str, folder, **more) -> dict:
    ledger = more.pop("ledger", uri)
    return move_stores(shop.project.root, tracking=uri, artifacts=str(folder), ledger=ledger, **more)


def test_every_version_goes_to_postgres_and_back(shop, postgres, empty, tmp_path) -> None:
    uri = postgres.database("move")
    before, said = all_of(shop.registry), entries(shop.ledger)
    done = move(shop, uri, tmp_path / "store")
    assert (done["runs"], done["versions"], done["ledger_entries"]) == (3, 3, 3) and done["left_behind"] == {}
    assert "s3cret" not in str(done) and done["stores"]["artifacts"] is None
    there = Registry(uri, None, "shop")
    assert all_of(there) == before and entries(Ledger(uri)) == said and there.champion() == "1"
    assert (
        there.ledger_head() == (3, said[-1].hash)
        and first_violation("shop", entries(Ledger(uri)), head=(3, said[-1].hash)) is None
    )
    (model,) = there.runs.client.search_logged_models(
        [there.runs._experiment], f"source_run_id = '{before[0][0].run_id}'"
    )
    assert model.artifact_location.startswith(f"mlflow-artifacts:/{there.runs._experiment}/")
    with pytest.raises(Exception, match="other"):
        there.runs.client.get_registered_model("other")

    assert move(shop, uri, tmp_path / "store") == done, "repeated, it compares"
    run = there.runs.start_run("d", "one more", {})
    assert there.runs.client.get_run(run).info.artifact_uri.startswith("mlflow-artifacts:/")

    back = {"from_tracking": uri, "from_artifacts": str(tmp_path / "store"), "ledger": f"sqlite:///{tmp_path}/l.db"}
    there.runs.client.delete_run(run)
    with pytest.raises(InputError, match=r"or later rows of it .*nothing was changed"):
        move(shop, uri, tmp_path / "store")
    move(shop, empty, tmp_path / "files", **back)
    again = Registry(empty, str(tmp_path / "files"), "shop")
    assert all_of(again) == before
    back_home = entries(Ledger(f"sqlite:///{tmp_path}/l.db"))
    assert back_home == said and first_violation("shop", back_home, head=again.ledger_head()) is None
    assert (again.download("2", tmp_path / "got") / "head.safetensors").is_file(), "whole, and checked"


def test_a_damaged_version_is_named_and_nothing_is_moved(shop, empty, tmp_path) -> None:
    model = Path(DatabaseRows(shop.registry.tracking_uri, "shop").places()[-1].removeprefix("file://"))
    (victim,) = model.rglob("head.safetensors")
    kept = victim.read_bytes()
    victim.write_bytes(kept[:-1] + b"x")
    try:
        with pytest.raises(IntegrityError, match=r"head\.safetensors was changed after it was saved"):
            move(shop, empty, tmp_path / "store", ledger=f"sqlite:///{tmp_path}/l.db")
    finally:
        victim.write_bytes(kept)
    assert Registry(empty, None, "shop").runs.client.search_registered_models() == []


def test_a_ledger_that_has_gone_on_is_left_alone(shop, empty, tmp_path) -> None:
    other = Ledger(f"sqlite:///{tmp_path}/l.db")
    other.commit("shop", other.intend("shop", Move(action="promote", expected=None, to="9", why="", actor="me")))
    with pytest.raises(InputError, match="holds other or later entries of 'shop'"):
        move(shop, empty, tmp_path / "store", ledger=other.uri)
    assert other.champion("shop") == "9"


def test_a_place_that_is_no_database_is_refused_without_its_password(shop, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PLACE", "https://me:s3cret@server")
    with pytest.raises(InputError, match="is not a database URL") as error:
        move(shop, "env:PLACE", tmp_path, ledger="sqlite:///x.db")
    assert "s3cret" not in str(error.value)


def test_traces_of_others_are_told_and_stay(shop, empty, tmp_path) -> None:
    row = {
        "issue_id": "i",
        "experiment_id": int(shop.registry.runs._experiment),
        "name": "n",
        "description": "d",
        "status": "open",
        "created_timestamp": 1,
        "last_updated_timestamp": 1,
    }
    engine = sa.create_engine(shop.registry.tracking_uri)
    with engine.begin() as connection:
        connection.execute(sa.Table("issues", sa.MetaData(), autoload_with=engine).insert().values(**row))
    done = move(shop, empty, tmp_path / "store", ledger=f"sqlite:///{tmp_path}/l.db")
    assert done["left_behind"] == {"issues": 1}
