"""`cl init --task`: a project of any task begins with a configuration that fits it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cl
from cl.cli.run import init
from cl.config import load
from cl.errors import UnknownPluginError


def test_a_project_of_a_task_begins_with_its_model_and_columns(tmp_path: Path) -> None:
    done = CliRunner().invoke(init, [str(tmp_path / "shop"), "--task", "dialogue"], catch_exceptions=False)
    assert done.exit_code == 0 and "created" in done.output
    config = load(tmp_path / "shop" / "cl.yaml")
    assert (config.name, config.task, config.model.name) == ("shop", "dialogue", "smollm2")


def test_an_unknown_task_is_refused_with_those_there_are_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnknownPluginError, match=r"no_such.*dialogue"):
        CliRunner().invoke(init, [str(tmp_path / "shop"), "--task", "no_such"], catch_exceptions=False)
    assert not (tmp_path / "shop").exists()


def test_a_project_made_in_python_begins_as_one_of_the_command(tmp_path: Path) -> None:
    cl.Project.create(tmp_path / "shop", task="text_generation", settings={"seed": 3})
    config = load(tmp_path / "shop" / "cl.yaml")
    assert config.model.name == "smollm2" and config.model.max_length == 256 and config.seed == 3
