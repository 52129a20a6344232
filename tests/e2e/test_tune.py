"""A search on the command line, from the settings as they are to what to paste."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cl.cli import cl
from cl.config import load, parse
from cl.ingest import ingest
from cl.sources.files import Files
from cl.stores.local import Project
from tests.support.tiny import made_sentences

SPACE = {"training.epochs": [1, 8], "training.head_learning_rate": {"low": 1e-9, "high": 1e-2, "log": True}}


@pytest.fixture
def searched(tmp_path: Path, tiny_model: Path) -> Project:
    """A project with two experiences, and a rung that learns next to nothing as it is."""
    weak = {"name": "weak", "strategy": "replay", "epochs": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}
    raw = {
        "name": "shop",
        "model": {"name": str(tiny_model), "dropout": 0.0},
        "training": {"batch_size": 8, "patience": 25, "precision": "float32"},
        "data": {"split": {"validation": 0.3, "test": 0.1}},
        "ladder": [weak, {"name": "full"}],
        "tune": {"space": SPACE, "trials": 4},
    }
    project = Project(tmp_path / "shop")
    project.root.mkdir()
    project.config.write_text(yaml.safe_dump(raw))
    for at, labels in enumerate((["loan", "fee"], ["box", "lamp"])):
        path = tmp_path / f"{at}.csv"
        made_sentences(labels, 60, seed=at).to_csv(path, index=False)
        ingest(load(project.config), project, Files(path=str(path)))
    return project


def test_a_search_beats_the_settings_as_they_are_and_says_what_to_paste(searched) -> None:
    command = ["tune", str(searched.config), "--rung", "weak"]
    done = CliRunner().invoke(cl, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = yaml.safe_load((searched.work / "tune" / "best.yaml").read_text())
    raw = yaml.safe_load(searched.config.read_text())
    best = parse({**raw, **lines}, where="pasted").at("weak").training
    assert best.head_learning_rate > 1e-9 and "to be pasted into cl.yaml" in done.output
    told = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert len(told) == 4 and {line[1] for line in told} <= {"complete", "pruned"}
    first = next(line for line in told if line[0] == "1")
    assert "head_learning_rate: 1e-09" in " ".join(first), "the first trial is the settings as they are"
    assert float(told[0][2]) >= float(first[2])

    more = CliRunner().invoke(cl, [*command, "--trials", "5"], catch_exceptions=False)
    assert len([line for line in more.stderr.splitlines() if line.strip()[:1].isdigit()]) == 1, (
        "it goes on from its end"
    )
