"""Plug-ins of another package: installed, listed, and used by name from cl.yaml."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.repository import ROOT
from tests.support.tiny import made_sentences, tiny_project


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed into."""
    copy, site = tmp_path_factory.mktemp("source") / "outside", tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "tests" / "support" / "outside", copy)
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(copy)]
    done = subprocess.run([sys.executable, "-m", "pip", *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


def cl(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cl.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])},
    )


def test_plug_ins_are_listed_with_the_package_that_they_come_from(installed) -> None:
    done = cl(installed, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    plugins = {(one["kind"], one["name"]): one for one in json.loads(done.stdout)}
    assert plugins["gates", "polite"]["from"] == "perennial-polite 0.3.0"
    assert plugins["gates", "polite"]["summary"] == "No test row that says please may be answered wrong too often."
    assert plugins["gates", "broken"]["summary"].startswith("cannot be loaded: gate 'broken' of perennial-polite 0.3.0")
    assert plugins["gates", "floor"]["from"] == "built in"
    assert {kind for kind, _ in plugins} == {
        "tasks", "strategies", "buffers", "tunings", "detectors", "gates", "sources",
    }  # fmt: skip


def test_a_gate_a_strategy_and_a_task_from_outside_are_used_by_name(installed, tiny_model, tmp_path) -> None:
    project = tiny_project(tmp_path / "shop", tiny_model, evaluation={"smoke_rows": 4})
    split = {"split": {"validation": 0.1, "test": 0.3}}
    used = {
        "task": "case_blind",
        "strategy": ["halved"],
        "gates": [{"name": "polite", "max": 0.9}],
        "data": split,
    }
    config = yaml.safe_load(project.config.read_text())
    project.config.write_text(yaml.safe_dump({**config, **used}))
    made_sentences(["loan", "fee"], 60).to_csv(tmp_path / "one.csv", index=False)
    done = cl(installed, "ingest", str(tmp_path / "one.csv"), "-p", str(project.root))
    assert done.returncode == 0, done.stderr
    done = cl(installed, "run", "--plain", "--json", "-p", str(project.root))
    assert done.returncode == 0, done.stderr
    (cycle,) = json.loads(done.stdout)
    assert [verdict["gate"] for verdict in cycle["gates"]["verdicts"]] == ["polite", "smoke test"]
    rows = cycle["experience"]["rows"]["train"]
    assert cycle["training"]["rows_learnt"] == -(-rows // 2) * cycle["training"]["epochs"]
    done = cl(installed, "predict", "-p", str(project.root), "LOAN loan", "loan LOAN", "--json")
    upper, lower = json.loads(done.stdout)
    assert upper["confidence"] == lower["confidence"]


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("broken", "gate 'broken' of perennial-polite 0.3.0 (perennial_polite:Missing) cannot be imported"),
        ({"name": "polite", "max": 2}, "gates: gate 'polite': max"),
        ("polit", "no gate 'polit'; did you mean 'polite'?"),
    ],
)
def test_what_is_wrong_with_one_is_a_line(installed, tiny_model, tmp_path, gate, says) -> None:
    project = tiny_project(tmp_path / "shop", tiny_model)
    config = yaml.safe_load(project.config.read_text())
    project.config.write_text(yaml.safe_dump({**config, "gates": [gate]}))
    done = cl(installed, "status", "-p", str(project.root))
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
