"""A project is one folder: it may be copied, renamed and moved, and never touches files outside itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cl.commands.forget import forget_rows
from cl.commands.gc import free_space
from cl.commands.report import report_on
from cl.errors import InputError, StoreError
from cl.lifecycle import run_waiting
from cl.project import Project
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import QUICK, made_sentences, tiny_project

LENIENT = [{"name": "floor", "min": 0.0}]
RANPAC = {"name": "ranpac", "features": 64}
ODD_NAMES = [
    "50%20off",
    "ünï-日本 %s%(x)s",
    *(
        pytest.param(name, marks=pytest.mark.nightly)
        for name in ("a#b", "a b;c", 'it\'s "so"', "a&b=c@d:e", "[x]*", "~$HOME")
    ),
]


def arrives(project: ProjectFolder, name: str, seed: int, labels: tuple[str, ...] = ("loan", "fee")) -> None:
    made_sentences([*labels], 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def learned_two(tiny_model: Path, tmp_path_factory) -> ProjectFolder:
    """A project with two champions, one after the other."""
    folder = tmp_path_factory.mktemp("origin") / "shop"
    project = tiny_project(folder, tiny_model, gates=LENIENT, training=QUICK, strategy=RANPAC)
    for number, label in enumerate(["loan", "lamp"], start=1):
        arrives(project, f"lot-{number}", number, ("fee", label))
        run_waiting(project)
    return project


def copied(project: ProjectFolder, folder: Path) -> ProjectFolder:
    return ProjectFolder(Path(shutil.copytree(project.root, folder, symlinks=True)))


def test_what_is_done_in_a_copy_leaves_the_original_as_it_was(learned_two, tmp_path) -> None:
    before, copy = contents(learned_two.root), copied(learned_two, tmp_path / "copy")
    project = Project.open(copy.root)
    assert project.champion == "2"
    project.rollback(why="to try it")
    arrives(copy, "lot-3", 3, ("fee", "shoe"))
    (cycle,) = run_waiting(copy)
    assert cycle.verdict == "promoted"
    freed = free_space(copy.root, keep_last=1, keep_days=0.0, dry_run=False)
    assert freed.versions, "the copy deletes versions of its own"
    forget_rows(copy.root, "label == 'loan'", why="a wish", everywhere=True, dry_run=False)
    report_on(copy.root)
    assert contents(learned_two.root) == before
    assert str(learned_two.root) not in (copy.root / "mlflow" / "mlflow.db").read_bytes().decode("latin-1")


def moved(project: ProjectFolder, folder: Path) -> ProjectFolder:
    """Move a copy of the project, and leave nothing where it was."""
    copy = copied(project, folder.with_name("before"))
    shutil.rmtree(copy.work / "versions")  # what it knows, it knows from its registry
    Project.open(copy.root).load()
    return ProjectFolder(Path(shutil.move(copy.root, folder)))


def test_a_project_that_was_moved_works_at_once(learned_two, tmp_path) -> None:
    project = moved(learned_two, tmp_path / "archive")
    shutil.rmtree(project.work / "versions")
    assert len(Project.open(project.root).predict(["my card is lost"])) == 1
    assert [cycle.verdict for cycle in Project.open(project.root).history()] == ["promoted", "promoted"]
    arrives(project, "lot-3", 3, ("fee", "shoe"))
    assert [cycle.verdict for cycle in run_waiting(project)] == ["promoted"]


def test_a_killed_cycle_goes_on_in_a_copy_with_the_files_of_the_copy(learned_two, tmp_path) -> None:
    project = copied(learned_two, tmp_path / "before")
    arrives(project, "lot-3", 3, ("fee", "shoe"))

    class KilledError(Exception):
        pass

    def dying(stage: Callable[..., Any]) -> Callable[..., Any]:
        if stage.__name__ == "register":
            raise KilledError
        return stage

    with pytest.raises(KilledError):
        run_waiting(project, executor=dying)
    (begun,) = (folder.name for folder in (project.work / "cycles").iterdir())
    copy = copied(project, tmp_path / "copy")
    before = contents(project.root)
    shutil.move(project.root, tmp_path / "hidden")
    (cycle,) = run_waiting(copy)
    assert (cycle.id, cycle.verdict) == (begun, "promoted")
    assert contents(tmp_path / "hidden") == before


def test_a_copy_without_its_files_says_what_is_missing(learned_two, tmp_path) -> None:
    copy = copied(learned_two, tmp_path / "copy")
    shutil.rmtree(copy.root / "mlflow" / "artifacts")
    with pytest.raises(StoreError, match=r"copy the files there, or let stores\.artifacts name"):
        Project.open(copy.root).champion  # noqa: B018  # it is read


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_project_works_in_a_folder_of_any_name(learned_two, name, tmp_path) -> None:
    project = copied(learned_two, tmp_path / name)
    shutil.rmtree(project.work / "versions")
    arrives(project, "lot-3", 3, ("fee", "shoe"))
    assert [cycle.verdict for cycle in run_waiting(project)] == ["promoted"]
    free_space(project.root, keep_last=1, keep_days=0.0, dry_run=False)
    outside = [path for path in tmp_path.rglob("*.db") if not path.is_relative_to(project.root)]
    assert not outside and sorted(path.name for path in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("name", ["what?", "a?b=c", "a\\b", "{y}", "${HOME}", "x}"])
def test_a_folder_that_no_project_can_work_in_is_refused_before_anything_is_written(
    learned_two, name, tmp_path
) -> None:
    with pytest.raises(InputError, match="in its path; choose another"):
        Project.create(tmp_path / name / "shop")
    assert not list(tmp_path.iterdir())
    moved = copied(learned_two, tmp_path / name)
    before = contents(moved.root)
    with pytest.raises(InputError, match="in its path; choose another"):
        Project.open(moved.root)
    assert contents(moved.root) == before


@pytest.mark.parametrize("name", ["2024", "null", "yes", "1e3", "0x1f", "%41", "on"])
def test_a_project_may_have_a_name_that_yaml_reads_as_something_else(name, tmp_path) -> None:
    assert Project.create(tmp_path / name).config.name == name.strip("%")
