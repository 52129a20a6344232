"""What versions have in common lies once in a store on this machine, and in this machine's copies."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from cl.config import RegistrySettings
from cl.records.history import History
from cl.registry.garbage import collect_garbage
from cl.stores.data.dvc import DataVersions
from cl.stores.data.experiences import Experiences
from cl.stores.files import sha256
from cl.stores.hard_links import LINKED_BYTES
from cl.stores.ledger.ledger import Ledger
from cl.stores.manifest import MANIFEST, check_manifest, write_manifest
from cl.stores.mlflow.migrate_files import copy_files
from cl.stores.mlflow.registry import PARENT, Registry
from cl.stores.mlflow.version_files import VersionFiles
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from cl.stores.version_folder import save_history
from tests.support.tiny import mlflow_database, serve

BASE = "encoder/frozen.safetensors"


@pytest.fixture
def registry(tmp_path) -> Registry:
    (tmp_path / "m.db").write_bytes(mlflow_database())
    registry = Registry(f"sqlite:///{tmp_path}/m.db", str(tmp_path / "artifacts"), "tiny")
    registry.initialise()
    return registry


@pytest.fixture
def log(registry, learner, tmp_path):
    """Registers a version whose large file is like those of all others, and whose label is its own."""

    def make(cycle: str, parent: str = "") -> str:
        folder = tmp_path / cycle
        shutil.copytree(learner, folder)
        (folder / BASE).write_bytes(b"b" * LINKED_BYTES)
        save_history(History(cycle=cycle), folder)
        write_manifest(folder)
        run = registry.runs.start_run(cycle, "0001-one", {})
        tags = {"cl.cycle_id": cycle, "cl.gates": "passed", PARENT: parent}
        version = registry.log_version(run, folder, tags=tags, metrics={})
        shutil.rmtree(folder)
        return version

    return make


def stored(registry: Registry, version: str) -> Path:
    folder = registry.files.learner_folder(version)
    assert folder is not None
    return folder


def unshare(folder: Path) -> None:
    """Give a version files of its own, as older releases and other copies of a project have them."""
    shutil.copytree(folder, folder.with_name("own"))
    shutil.rmtree(folder)
    folder.with_name("own").rename(folder)


def open_here(registry: Registry, folder: Path) -> Stores:
    project = ProjectFolder(folder)
    ledger = Ledger(f"sqlite:///{folder}/l.db")
    return Stores(project, Experiences(project), DataVersions(project, ""), registry, ledger)


def test_a_version_shares_with_its_parent_and_outlives_it(registry, log, tmp_path) -> None:
    first = log("c1")
    second = log("c2", parent=first)
    assert (stored(registry, first) / BASE).samefile(stored(registry, second) / BASE)
    registry.files.delete_files(next(info for info in registry.versions() if info.version == first))
    assert registry.files.learner_folder(first) is None
    check_manifest(registry.download(second, tmp_path / "copies" / second))


def test_a_version_without_a_parent_shares_with_the_one_before(registry, log) -> None:
    first, second = log("c1"), log("c2")
    assert (stored(registry, first) / BASE).samefile(stored(registry, second) / BASE)


def test_the_last_version_that_goes_takes_the_bytes_along(registry, log) -> None:
    version = log("c1")
    for cycle in ("c2", "c3"):
        version = log(cycle, parent=version)
    kept = stored(registry, "1").parents[3] / "kept"
    os.link(stored(registry, "1") / BASE, kept)
    assert kept.stat().st_nlink == 4
    for info in registry.versions():
        registry.files.delete_files(info)
    assert kept.stat().st_nlink == 1, "no other name holds what was deleted"


def test_a_copy_of_this_machine_has_the_store_s_large_files(registry, log, tmp_path) -> None:
    version = log("c1")
    copy = registry.download(version, tmp_path / "copies" / version)
    assert (copy / BASE).samefile(stored(registry, version) / BASE)
    (copy / "history.json").write_text("edited")
    check_manifest(stored(registry, version))


def test_a_parent_that_is_gone_from_mlflow_or_has_no_files_stops_nobody(registry, log, tmp_path) -> None:
    first, second = log("c1"), log("c2")
    registry.runs.client.delete_model_version("tiny", first)
    registry.files.delete_files(next(info for info in registry.versions() if info.version == second))
    for cycle, parent in (("c3", first), ("c4", second), ("c5", "77")):
        version = log(cycle, parent=parent)
        check_manifest(registry.download(version, tmp_path / "copies" / version))


def test_a_store_on_another_device_is_copied_from(registry, log, tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    first = log("c1")
    second = log("c2", parent=first)
    copy = registry.download(second, tmp_path / "copies" / second)
    check_manifest(copy)
    assert (copy / BASE).stat().st_nlink == 1
    assert sha256(copy / BASE) == sha256(stored(registry, first) / BASE)


def test_a_registration_killed_as_it_shares_is_repeated_and_harms_no_version(registry, log, tmp_path) -> None:
    first = log("c1")
    replace = Path.replace

    def die(path: Path, target: Path) -> Path:
        if path.name.startswith(".linking-"):
            raise KeyboardInterrupt
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", die)
        log("c2", parent=first)
    assert [info.version for info in registry.versions()] == [first]
    shutil.rmtree(tmp_path / "c2")
    second = log("c2", parent=first)
    for version in (first, second):
        check_manifest(registry.download(version, tmp_path / "copies" / version))


def test_copies_from_a_store_elsewhere_share_and_go_when_unneeded(registry, log, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(VersionFiles, "folder", lambda *_: None)  # as of a store that is not on this machine
    for cycle in ("c1", "c2", "c3"):
        log(cycle)
    stores = open_here(registry, tmp_path)
    copies = stores.project.work / "versions"
    for version in ("1", "2", "3"):
        serve(registry, stores.ledger, version)
        assert stores.champion_folder(version) == copies / version
    assert sorted(path.name for path in copies.iterdir()) == ["1", "2", "3"], "all were asked for just now"
    assert (copies / "1" / BASE).samefile(copies / "3" / BASE)
    shutil.rmtree(copies / "3")
    for version in ("1", "2"):
        os.utime(copies / version, (0, 0))
    check_manifest(stores.champion_folder("3"))
    assert sorted(path.name for path in copies.iterdir()) == ["2", "3"], "the champion and what a rollback restores"


def test_stores_that_are_copied_elsewhere_share_there_as_well(registry, log, tmp_path) -> None:
    first, second = log("c1"), log("c2")
    unshare(stored(registry, second))
    root, target = tmp_path / "artifacts", (tmp_path / "moved").as_uri()
    folders = [str(stored(registry, version).parents[2].relative_to(root)) for version in (first, second)]
    source = root.as_uri()
    copied = copy_files(folders, source, target)
    assert copy_files(folders, source, target) == copied, "repeated, it compares"
    there = [path.parent for path in sorted((tmp_path / "moved").rglob(MANIFEST))]
    assert len(there) == 2 and (there[0] / BASE).samefile(there[1] / BASE)
    for folder in there:
        check_manifest(folder)
    assert not (there[0] / BASE).samefile(stored(registry, first) / BASE), "the new store is independent of the old one"


def test_an_older_store_and_its_copies_on_this_machine_share_after_cl_gc(registry, log, tmp_path) -> None:
    for cycle in ("c1", "c2"):
        unshare(stored(registry, log(cycle)))
    stores = open_here(registry, tmp_path)
    serve(registry, stores.ledger, "1", "2")
    copies = stores.project.work / "versions"
    for version in ("1", "2"):
        shutil.copytree(stored(registry, version), copies / version)
    dry = collect_garbage(stores, RegistrySettings(), dry_run=True)
    assert (dry.freed, dry.shared) == (0, 0)
    weights = LINKED_BYTES + (stored(registry, "1") / "encoder" / "model.safetensors").stat().st_size
    shared = collect_garbage(stores, RegistrySettings(), dry_run=False).shared
    assert shared == 3 * weights, "version 2 has what version 1 has, and the copies their weights"
    assert (copies / "1" / BASE).samefile(stored(registry, "2") / BASE)
    assert (copies / "1" / BASE).stat().st_nlink == 4
    for version in ("1", "2"):
        check_manifest(copies / version)
        check_manifest(stored(registry, version))
    assert collect_garbage(stores, RegistrySettings(), dry_run=False).total == 0, "there is nothing left to do"


def test_cl_gc_counts_a_shared_file_as_freed_only_with_its_last_name(registry, log, tmp_path) -> None:
    log("c1")
    log("c2", parent="1")
    log("c3", parent="2")
    stores = open_here(registry, tmp_path)
    serve(registry, stores.ledger, "2", "3")
    garbage = collect_garbage(stores, RegistrySettings(keep_last=0, keep_days=0), dry_run=False)
    assert garbage.versions.keys() == {"1"} and garbage.versions["1"] > LINKED_BYTES
    assert 0 < garbage.freed < LINKED_BYTES
    for version in ("2", "3"):
        check_manifest(stored(registry, version))


def test_a_run_and_its_version_store_their_common_record_once(registry, log) -> None:
    version = log("c1")
    run = registry.runs.start_run("c1", "0001-one", {})
    learner = stored(registry, version)
    before = sha256(learner / "history.json")
    registry.runs.log_file(run, learner / "history.json", "version")
    registry.files.share_record(run, version)
    folder = registry.runs.files_of(run)
    assert (folder / "version" / "history.json").samefile(learner / "history.json")
    assert sha256(learner / "history.json") == before
    check_manifest(learner)
