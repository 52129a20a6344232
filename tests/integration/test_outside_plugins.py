"""Plug-ins of another package: installed, listed, and used by name from cl.yaml."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.outside_site import cl
from tests.support.stages import without_stages
from tests.support.tiny import tiny_project


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


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("broken", "gate 'broken' of perennial-polite 0.3.0 (perennial_polite:Missing) cannot be imported"),
        ({"name": "polite", "max": 2}, "gates.0: gate 'polite': max"),
        ("polit", "no gate 'polit'; did you mean 'polite'?"),
    ],
)
def test_what_is_wrong_with_one_is_a_line(installed, tiny_model, tmp_path, gate, says) -> None:
    project = tiny_project(tmp_path / "shop", tiny_model)
    config = yaml.safe_load(project.config.read_text())
    project.config.write_text(yaml.safe_dump({**config, "gates": [gate]}))
    done = cl(installed, "status", "-p", str(project.root))
    assert done.returncode == 2 and says in done.stderr and len(without_stages(done.stderr)) == 1, done.stderr
