"""A search on the command line, from the settings as they are to what to paste."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cl.cli.main import cl
from cl.config import parse
from cl.stores.project_folder import ProjectFolder
from tests.support.searched import searched_project


@pytest.fixture
def searched(tmp_path: Path, tiny_model: Path) -> ProjectFolder:
    return searched_project(tmp_path, tiny_model, epochs=25, trials=6)


def test_a_search_beats_the_settings_as_they_are_and_says_what_to_paste(searched) -> None:
    command = ["tune", str(searched.config), "--rung", "weak"]
    done = CliRunner().invoke(cl, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = yaml.safe_load((searched.work / "tune" / "best.yaml").read_text())
    raw = yaml.safe_load(searched.config.read_text())
    best = parse({**raw, **lines}, where="pasted").at_rung("weak").training
    assert best.head_learning_rate > 1e-9 and "Paste into cl.yaml" in done.output
    told = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert len(told) == 6 and {line[1] for line in told} <= {"complete", "pruned"}
    first = next(line for line in told if line[0] == "1")
    assert "head_learning_rate: 1e-09" in " ".join(first), "the first trial is the settings as they are"
    assert float(told[0][2]) >= float(first[2])

    more = CliRunner().invoke(cl, [*command, "--trials", "7"], catch_exceptions=False)
    assert len([line for line in more.stderr.splitlines() if line.strip()[:1].isdigit()]) == 1, (
        "it goes on from its end"
    )
