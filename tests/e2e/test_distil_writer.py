"""A language model teaches a smaller one, which is judged, promoted, served, and goes on learning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import cl
from cl import config as configuration
from cl.cli.main import cl as command
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from tests.integration.cycle.test_text_generation import replies, writing_project
from tests.support.templates import copied
from tests.support.tiny import made_tiny_writer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def taught(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project with one version; copy it: nobody may change it."""
    folder = tmp_path_factory.mktemp("taught")
    writer = made_tiny_writer(folder / "model", tiny_model)
    shop = writing_project(folder / "shop", writer, gates=[{"name": "floor", "min": 0.8}])
    replies(["card", "parcel"], 60, seed=1).to_csv(shop.root / "inbox" / "one.csv", index=False)
    (cycle,) = run_waiting(shop)
    assert cycle.verdict == "promoted", cycle
    return shop


def student_of(project: ProjectFolder, tmp_path: Path):
    """Distil version 1 by hand, and return what the command says, and the learner of the version."""
    done = CliRunner().invoke(command, ["distil", "1", "--json", "-p", str(project.root)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    registry = open_stores(project, configuration.load(project.config)).registry
    return json.loads(done.stdout), load_learner(registry.download("2", tmp_path / "2"))


@pytest.mark.parametrize("kind", ["layers", "model"])
def test_a_smaller_model_learns_what_the_champion_answers_and_goes_on_learning(
    kind: str, taught: ProjectFolder, tiny_model: Path, tmp_path: Path
) -> None:
    small = made_tiny_writer(tmp_path / "small", tiny_model, positions=96)
    student = {"layers": 1} if kind == "layers" else {"model": str(small)}
    shop = copied(taught, tmp_path / "shop", distil={"student": student, "epochs": 40, "learning_rate": 0.01})
    result, learner = student_of(shop, tmp_path)
    assert result["passed"] and result["form"] == "student" and result["accuracy"] > 0.8
    assert learner.by_reference and learner.depth == (1 if kind == "layers" else 2)
    assert learner.base.name == (configuration.load(taught.config).model.name if kind == "layers" else str(small))
    project = cl.Project.open(shop.root)
    project.promote("2", why="smaller")
    assert list(project.predict(["please help the old card"])["prediction"]) == ["my card is lost"]
    replies(["loan", "fee"], 60, seed=2).to_csv(shop.root / "inbox" / "two.csv", index=False)
    (cycle,) = run_waiting(shop)
    assert cycle.verdict == "promoted", cycle
    assert list(project.predict(["where is the old loan"])["prediction"]) == ["my loan is lost"]
    registry = open_stores(shop, configuration.load(shop.config)).registry
    after = load_learner(registry.download("3", tmp_path / "3"))
    assert after.by_reference and after.depth == learner.depth and after.base == learner.base
