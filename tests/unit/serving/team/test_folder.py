"""Which folders are projects of a team's folder, and that no link leads out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl.errors import InputError
from cl.serving.team import folder as team
from cl.serving.team.folder import TeamFolder


def put_project(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "cl.yaml").write_text("name: shop\n")
    return root


def paths(root: Path) -> list[str]:
    return [project.path for project in TeamFolder(root.resolve()).projects()[0]]


def test_projects_are_listed_by_path_at_any_level_down_to_the_bound(tmp_path) -> None:
    for path in ("b", "a/one", "a/two/three/four", "1/2/3/4/5"):
        put_project(tmp_path / path)
    assert paths(tmp_path) == ["a/one", "a/two/three/four", "b"]


@pytest.mark.parametrize("name", [".hidden", "node_modules", "venv"])
def test_folders_that_hold_no_projects_are_skipped(tmp_path, name) -> None:
    put_project(tmp_path / name / "project")
    assert paths(tmp_path) == []


def test_a_project_is_not_searched_for_others_and_the_folder_itself_may_be_one(tmp_path) -> None:
    put_project(tmp_path / "outer")
    put_project(tmp_path / "outer" / "inner")
    assert paths(tmp_path) == ["outer"]
    assert paths(tmp_path / "outer") == ["."]


def test_names_that_are_no_text_can_be_shown(tmp_path) -> None:
    put_project(tmp_path / "caf\udce9")
    put_project(tmp_path / "two\nlines")
    (first, second) = paths(tmp_path)
    assert first.encode() and second == "two\\nlines"


def test_no_link_is_followed_wherever_it_leads(tmp_path) -> None:
    outside = put_project(tmp_path / "outside")
    inside = put_project(tmp_path / "team" / "inside")
    (tmp_path / "team" / "out").symlink_to(outside)
    (tmp_path / "team" / "in").symlink_to(inside)
    (tmp_path / "team" / "loop").symlink_to(tmp_path / "team")
    (tmp_path / "team" / "config").mkdir()
    (tmp_path / "team" / "config" / "cl.yaml").symlink_to(outside / "cl.yaml")
    assert paths(tmp_path / "team") == ["inside"]


def test_the_search_ends_at_a_bound_and_says_so(tmp_path, monkeypatch) -> None:
    for number in range(6):
        put_project(tmp_path / str(number))
    monkeypatch.setattr(team, "MOST_PROJECTS", 4)
    projects, is_cut = TeamFolder(tmp_path).projects()
    assert len(projects) == 4 and is_cut
    monkeypatch.setattr(team, "MOST_PROJECTS", 6)
    assert TeamFolder(tmp_path).projects()[1] is False
    monkeypatch.setattr(team, "MOST_FOLDERS", 3)
    assert TeamFolder(tmp_path).projects()[1] is True


@pytest.mark.parametrize(
    "part",
    [".cl", "data", "data/experiences", "data/experiences/0001-a", "data/experiences/0001-a/train.parquet",
     ".cl/finished/a.json", "predictions/feedback", "reports/index.html", "mlflow/ledger.db"],
)  # fmt: skip
def test_a_link_out_of_the_folder_is_refused_in_every_part_that_is_read(tmp_path, part) -> None:
    root = put_project(tmp_path / "team" / "shop")
    folder = TeamFolder((tmp_path / "team").resolve())
    (root / part).parent.mkdir(parents=True, exist_ok=True)
    (root / part).symlink_to(root / "cl.yaml")
    folder.refuse_links_out(root)
    (root / part).unlink()
    (root / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a symbolic link out of the team's folder"):
        folder.refuse_links_out(root)


def test_a_folder_that_became_a_link_since_it_was_listed_is_refused(tmp_path) -> None:
    root = put_project(tmp_path / "team" / "shop")
    folder = TeamFolder((tmp_path / "team").resolve())
    root.rename(tmp_path / "moved")
    root.symlink_to(tmp_path / "moved")
    with pytest.raises(InputError, match="behind a symbolic link"):
        folder.refuse_links_out(root)
