"""A project that is only read: the same ledger and cycles as its stores give, and no trace."""

from __future__ import annotations

import shutil

import pytest

from cl import config as configuration
from cl.errors import StoreError
from cl.stores.data.fingerprints import load_known, read_known_ids
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.read_only import ReadOnlyStores
from cl.tasks.text_classification import TextClassification
from tests.support.team_page import state_of
from tests.support.tiny import tiny_project


def read_only(project: ProjectFolder) -> ReadOnlyStores:
    return ReadOnlyStores(project, configuration.load(project.config))


def test_ledger_and_cycles_are_those_of_the_stores_and_nothing_is_written(champion_shop) -> None:
    project = champion_shop()
    stores = open_project(project.root).stores
    stores.registry.initialise()
    cycles, entries = stores.registry.runs.cycles(), stores.ledger.entries("shop")
    known = load_known(project, TextClassification.schema).ids
    before = state_of(project.root)
    reader = read_only(project)
    assert [reader.cycle(run) for run in reader.finished] == cycles and reader.entries() == entries
    assert [run.version for run in reader.finished] == ["1"]
    assert [sorted(ids) for ids in read_known_ids(project)] == [sorted(ids) for ids in known]
    assert state_of(project.root) == before


def test_without_this_machines_copies_the_artifacts_and_the_data_are_read(champion_shop) -> None:
    project = champion_shop()
    stores = open_project(project.root).stores  # the copy follows its folder
    cycles, known = stores.registry.runs.cycles(), load_known(project, TextClassification.schema).ids
    for name in ("finished", "known"):
        shutil.rmtree(project.work / name)
    before = state_of(project.root)
    reader = read_only(project)
    assert [reader.cycle(run) for run in reader.finished] == cycles
    assert [sorted(ids) for ids in read_known_ids(project)] == [sorted(ids) for ids in known]
    assert state_of(project.root) == before


def test_a_project_before_its_first_cycle_has_none_and_gets_no_database(tmp_path, tiny_model) -> None:
    project = tiny_project(tmp_path / "shop", tiny_model)
    shutil.rmtree(project.root / "mlflow")
    reader = read_only(project)
    assert reader.finished == [] and reader.entries() == []
    assert not (project.root / "mlflow").exists()


@pytest.mark.parametrize(("name", "part"), [("mlflow.db", "finished"), ("ledger.db", "entries")])
def test_a_database_that_was_lost_is_not_made_again(champion_shop, name, part) -> None:
    project = champion_shop()
    (project.root / "mlflow" / name).unlink()
    with pytest.raises(StoreError, match=r"is missing: .*restore it from a backup"):
        getattr(read_only(project), part) if part == "finished" else read_only(project).entries()
    assert not (project.root / "mlflow" / name).exists()


@pytest.mark.parametrize("text", ["", "{}", "[1", "\udcff"])
def test_a_damaged_record_is_named(champion_shop, text) -> None:
    project = champion_shop()
    reader = read_only(project)
    (run,) = reader.finished
    (project.work / "finished" / f"{run.id}.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match=r"is damaged|cannot be read"):
        reader.cycle(run)
