"""One rule for exit codes: showing or working on nothing is 0, naming what does not exist is 2."""

from __future__ import annotations

import json
import shlex

import pytest

from cl.cli.main import cl
from cl.commands.init import scaffold
from tests.support.command import command
from tests.support.stages import without_stages

NOTHING_YET = {
    "status": "champion    none yet",
    "history": "no cycle yet",
    "report": "index.html",
    "labels": "no labels yet",
    "quarantine": "no row was set aside",
    "quarantine export rows.csv": "nothing to export: no such row was set aside",
    "gates": "no challenger has been evaluated yet",
    "gates --replay policy.yaml": "no challenger has been evaluated yet",
    "champion": "has no champion",
    "champion --as-of 2026-01-01": "has no champion",
    "audit": "no entries yet",
    "gc": "freed",
    "ingest --from-serving": "nothing new",
    "run --plain": "nothing to do",
    "plugins": "replay",
    "config show": "name:",
    "config show --all": "training.epochs",
    "config validate": "valid",
    "config reference": "training.epochs",
    "config schema": "properties",
}
"""Commands that show or work on what there is: nothing yet is an answer."""
NAMES_NOTHING = {
    "predict hello": "no champion yet",
    "predict --from labels.csv": "no champion yet",
    "label labels.csv": "no answer is logged under this id 2",
    "label none.csv": "no such file",
    "ingest none.csv": "no such file",
    "ingest empty": "no readable file",
    "ingest sql": "data.source is not set",
    "run --plain --again 0009-x": "no experience '0009-x'; there are: none",
    "run --plain --set seeed=1": "did you mean 'seed'?",
    "quarantine show 0009-x": "no experience '0009-x'; there are: none",
    "quarantine export rows.csv --experience 0009-x": "no experience '0009-x'; there are: none",
    "gates 1": "no version 1",
    "gates --replay none.yaml": "none.yaml: no such file",
    "diff 1 2": "no version 1",
    "lineage 1": "no version 1",
    "reproduce 1": "no version 1",
    "export 1 out": "no version 1",
    "distil 1": "no version 1",
    "approve 1": "none does",
    "reject 1 --why test": "none does",
    "promote 1 --why test": "no version 1",
    "promote --withdraw canary --why test": "no canary",
    "evaluate": "no champion yet",
    "rollback": "no earlier champion",
    "rollback 1": "no version 1",
    "audit --repair 1 --why test": "nothing to repair",
    "forget --where \"id == '1'\"": "no row",
    "labels rename a b --why test": "no row has the label 'a'",
    "labels merge a b --into c --why test": "no row has the label",
    "labels split a --by labels.csv --why test": "no row has the label 'a'",
    "labels retire a --why test": "no row has the label 'a'",
    "labels restore a --why test": "is no former label",
    "trigger": "PREFECT_API_URL",
    "schedule": "PREFECT_API_URL",
    "tune": "--rung is missing",
    "backtest --data none.csv": "no such file",
    "serve --set serve.tls.key=none.pem": "--set",
    "ui none": "none: no such folder",
    "config validate none.yaml": "no such configuration",
    "init .": "already contains a project",
    "demo --dir .": "already contains a project",
    "move-stores --to-tracking x --to-artifacts x --to-ledger x": "",
}
"""Commands that need what does not exist, named by the person or not."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    root = scaffold(tmp_path_factory.mktemp("empty") / "shop").root
    (root / "empty").mkdir()
    (root / "labels.csv").write_text("id,label\n1,a\n2,b\n", encoding="utf-8")
    (root / "policy.yaml").write_text("gates: []\n", encoding="utf-8")
    return root


@pytest.fixture
def inside(empty, monkeypatch):
    monkeypatch.chdir(empty)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def test_every_command_is_in_the_table() -> None:
    assert {words.split()[0] for words in [*NOTHING_YET, *NAMES_NOTHING]} == set(cl.commands)


@pytest.mark.parametrize(("words", "text"), NOTHING_YET.items())
def test_showing_or_working_on_nothing_is_done(inside, words, text) -> None:
    said = command(*shlex.split(words))
    assert said.code == 0 and text in said.out, said


@pytest.mark.parametrize(
    "words", [words for words in NOTHING_YET if words not in ("config reference", "config schema")]
)
def test_nothing_is_json_too(inside, words) -> None:
    said = command(*shlex.split(words), "--json")
    assert said.code == 0, said
    json.loads(said.out)


@pytest.mark.parametrize(("words", "text"), NAMES_NOTHING.items())
def test_naming_what_does_not_exist_is_bad_input(inside, words, text) -> None:
    said = command(*shlex.split(words))
    assert said.code == 2 and text in said.err, said
    assert len(without_stages(said.err)) == 1


@pytest.mark.parametrize("words", [*NOTHING_YET, *NAMES_NOTHING])
def test_outside_of_a_project_every_command_that_needs_one_ends_with_2(tmp_path, monkeypatch, words) -> None:
    monkeypatch.chdir(tmp_path)
    name = words.split()[0]
    if name in ("init", "demo", "plugins") or words in ("config reference", "config schema"):
        return
    assert command(*shlex.split(words)).code == 2
