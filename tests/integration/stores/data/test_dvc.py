from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cl import plugins
from cl.errors import StoreError
from cl.ingestion.ingest import ingest
from cl.stores.data import dvc as module
from cl.stores.data.dvc import DataVersions
from cl.stores.data.experiences import digest_of
from cl.stores.project_folder import ProjectFolder, mark_pending


def opened(root: Path, remote: Path | None = None) -> DataVersions:
    root.mkdir(parents=True, exist_ok=True)
    return DataVersions(ProjectFolder(root), str(remote or root / ".cl" / "dvc-remote"))


def grow(data: DataVersions, name: str) -> None:
    folder = data.project.experiences / name
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_text(f"rows of {name}")
    mark_pending(data.project, name)


def names(data: DataVersions) -> list[str]:
    return sorted(path.name for path in data.project.experiences.iterdir())


@pytest.fixture
def data(tmp_path: Path) -> DataVersions:
    return opened(tmp_path / "project")


def test_versions_follow_the_experiences(data, capfd) -> None:
    assert data.current() is None and not data.is_clean()
    empty = data.commit()
    assert empty.endswith(".dir") and data.is_clean() and data.current() == empty
    grow(data, "0001-one")
    assert not data.is_clean()
    first = data.commit()
    assert first != empty and data.current() == first and data.is_clean()
    assert capfd.readouterr() == ("", "")
    assert list((data.project.work / "dvc-remote").rglob(first[2:]))


def test_setting_up_twice_changes_nothing(data) -> None:
    data.initialise()
    config = data.project.root / ".dvc" / "config"
    before = config.read_text(), config.stat().st_mtime_ns
    data.initialise()
    assert (config.read_text(), config.stat().st_mtime_ns) == before
    assert "url = ../.cl/dvc-remote" in before[0] and "analytics = false" in before[0]
    assert (data.project.root / ".dvcignore").read_text().splitlines().count(".draft-*") == 1


def test_another_remote_in_the_configuration_is_taken_over(data) -> None:
    data.initialise()
    other = DataVersions(data.project, "s3://bucket/path")
    other.initialise()
    assert "url = s3://bucket/path" in (data.project.root / ".dvc" / "config").read_text()


def test_drafts_are_no_part_of_a_version(data) -> None:
    grow(data, "0001-one")
    before = data.commit()
    grow(data, ".draft-0002-two")
    (data.project.experiences / "0001-one" / ".train.parquet.17.draft").write_text("of a process that was killed")
    assert data.commit() == before


def test_with_nothing_new_dvc_is_not_even_imported(data) -> None:
    data.commit()
    code = (
        "import sys; from pathlib import Path\n"
        "from cl.stores.data.dvc import DataVersions; from cl.stores.project_folder import ProjectFolder\n"
        f"data = DataVersions(ProjectFolder(Path({str(data.project.root)!r})), {data.remote!r})\n"
        "print(data.commit(), data.is_clean(), 'dvc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [data.current(), "True", "False"]


@pytest.mark.parametrize("above", [True, False])
def test_a_project_may_lie_in_a_git_repository_or_be_one(tmp_path, above) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    data = opened(tmp_path / "inner" if above else tmp_path)
    grow(data, "0001-one")
    data.commit()
    config = (data.project.root / ".dvc" / "config").read_text()
    assert ("no_scm = True" in config) == above
    grow(data, "0002-two")
    assert data.commit() == data.current()


def test_it_works_from_any_folder(data, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    grow(data, "0001-one")
    version = data.commit()
    assert (data.project.root / "data.dvc").is_file() and not (tmp_path / "data.dvc").exists()
    assert data.current() == version


def test_another_machine_goes_on_from_the_remote(data, tmp_path) -> None:
    grow(data, "0001-one")
    first, text = data.commit(), (data.project.root / "data.dvc").read_text()
    grow(data, "0002-two")
    second = data.commit()
    other = opened(tmp_path / "other", Path(data.remote))
    other.restore(second)
    assert names(other) == ["0001-one", "0002-two"] and other.is_clean() and other.commit() == second
    other.restore(text)
    assert names(other) == ["0001-one"] and other.current() == first
    grow(other, "0002-other")
    assert other.commit() not in (first, second)


def test_experiences_without_a_version_are_not_thrown_away(data) -> None:
    grow(data, "0001-one")
    first = data.commit()
    grow(data, "0002-two")
    with pytest.raises(StoreError, match="without a version"):
        data.restore(first)
    assert names(data) == ["0001-one", "0002-two"]


def test_a_version_that_cannot_be_had_leaves_the_old_one(data, tmp_path) -> None:
    grow(data, "0001-one")
    first = data.commit()
    with pytest.raises(StoreError) as error:
        data.restore("0" * 32 + ".dir")
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)
    assert data.current() == first and names(data) == ["0001-one"]


def test_a_remote_out_of_reach_is_told_and_tried_again_later(data, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = DataVersions(data.project, str(tmp_path / "file" / "remote"))
    grow(data, "0001-one")
    with pytest.raises(StoreError) as error:
        blocked.commit()
    assert "\n" not in str(error.value)
    assert not data.is_clean()
    data.commit()
    assert data.is_clean()


def test_a_lock_that_another_command_holds_is_waited_for_then_told(data, monkeypatch) -> None:
    from dvc.lock import LockError
    from dvc.repo import Repo

    data.commit()
    grow(data, "0001-one")
    real, calls = Repo.add, []

    def held_at_first(repo, *args, **kwargs):
        calls.append(1)
        if len(calls) < 3:
            raise LockError("held")
        return real(repo, *args, **kwargs)

    monkeypatch.setattr(Repo, "add", held_at_first)
    data.commit()
    assert len(calls) == 3
    grow(data, "0002-two")
    calls.clear()
    monkeypatch.setattr(module, "LOCK_TIMEOUT", 0.0)
    with pytest.raises(StoreError, match="another DVC command holds"):
        data.commit()


@pytest.mark.parametrize("text", ["outs: []", "{", "outs:\n- path: data\n"])
def test_a_damaged_pointer_is_named_with_the_remedy(data, text) -> None:
    (data.project.root / "data.dvc").write_text(text)
    with pytest.raises(StoreError, match=r"data\.dvc: is damaged; remove it"):
        data.current()


def test_a_damaged_file_is_refused_by_name_and_never_becomes_a_version(shop_with_rows) -> None:
    data, path = shop_with_rows
    whole = data.current()
    path.write_bytes(path.read_bytes()[:1000])
    mark_pending(data.project, "0002-two")
    with pytest.raises(StoreError, match=f"{path}: was changed .*; run `dvc checkout --force {path}`"):
        data.commit()
    assert data.current() == whole and not data.is_clean()

    done = subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--force", str(path)], cwd=data.project.root, capture_output=True
    )
    assert done.returncode == 0
    assert data.commit() == whole and data.is_clean()


def test_rows_that_are_changed_on_purpose_with_their_record_become_a_version(shop_with_rows) -> None:
    data, path = shop_with_rows
    whole = data.current()
    pd.read_parquet(path).head(3).to_parquet(path)
    record = path.with_name("experience.json")
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "digest": digest_of(path.parent)}))
    mark_pending(data.project, "0001-one")
    assert data.commit() != whole


@pytest.fixture
def shop_with_rows(data, tmp_path, tiny_config, sentences) -> tuple[DataVersions, Path]:
    """One ingested and versioned experience, and the file with its training rows."""
    sentences(["loan", "fee"], 40).to_csv(tmp_path / "one.csv", index=False)
    source = plugins.build("sources", {"name": "files", "path": str(tmp_path / "one.csv")})
    (one,) = ingest(tiny_config(), data.project, source)
    data.commit()
    return data, data.project.experiences / one.id / "train.parquet"


@pytest.mark.parametrize("content", ["", '[{"md5": "0', "{}"])
@pytest.mark.parametrize(
    ("kind", "where"),
    [("listing", ["cache"]), ("file", ["cache"]), ("listing", ["remote"]), ("listing", ["cache", "remote"])],
)
def test_an_object_that_a_killed_process_left_half_written_is_written_again(data, kind, where, content) -> None:
    grow(data, "0001-one")
    version = data.commit()
    stores = {"cache": data.project.root / ".dvc" / "cache", "remote": Path(data.remote)}
    listing = stores["cache"] / "files" / "md5" / version[:2] / version[2:]
    (entry,) = json.loads(listing.read_text())
    name = version if kind == "listing" else entry["md5"]
    damaged = [stores[store] / "files" / "md5" / name[:2] / name[2:] for store in where]
    for path in damaged:
        path.unlink()
        path.write_text(content)  # not yet protected from writing, as an object that is complete
    (data.project.root / "data.dvc").unlink()
    mark_pending(data.project, "0001-one")
    assert data.commit() == version and data.is_clean()
    assert all(hashlib.md5(path.read_bytes()).hexdigest() == name.removesuffix(".dir") for path in damaged)


def test_no_file_is_removed_while_it_becomes_part_of_a_version(data) -> None:
    """DVC puts a link in the place of a file by removing it first: a kill in between would lose rows."""
    grow(data, "0001-one")
    data.commit()
    grow(data, "0002-two")
    rows = data.project.data / "quarantine" / "0002-two.parquet"
    rows.parent.mkdir(exist_ok=True)
    rows.write_text("rows that are broken")
    removed, is_watching = [], True

    def watch(event: str, arguments: tuple) -> None:  # whichever function is called
        if is_watching and event == "os.remove":
            removed.append(Path(arguments[0]))

    sys.addaudithook(watch)
    data.commit()
    is_watching = False
    assert removed, "DVC removes its drafts at least"
    assert not [path for path in removed if path.is_relative_to(data.project.data) and not path.name.startswith(".")]
    assert list((data.project.work / "dvc-remote").rglob(hashlib.md5(rows.read_bytes()).hexdigest()[2:]))
