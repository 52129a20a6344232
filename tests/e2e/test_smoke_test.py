"""A version must answer from the registry, in a fresh process, before it can serve."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cl import config as configuration
from cl.cli.main import cl
from cl.commands.gates import read_verdicts, replay_gates
from cl.commands.promotion import promote_version
from cl.errors import InputError, RefusedError
from cl.lifecycle import run_waiting
from cl.promotion.approval import record_decision
from cl.promotion.by_hand import promote_by_hand, rollback
from cl.reports.terminal.gates import gate_lines
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from tests.support.tiny import made_sentences, tiny_project


class KilledError(Exception):
    """Stands for a process that ends at this moment."""


def dying(stage: Callable[..., Any]) -> Callable[..., Any]:
    if stage.__name__ == "smoke_test":
        raise KilledError
    return stage


@pytest.fixture
def shop(tmp_path: Path, tiny_model: Path) -> ProjectFolder:
    gates = [{"name": "floor", "min": 0.0}]
    return tiny_project(tmp_path / "shop", tiny_model, gates=gates, evaluation={"smoke_rows": 4})


def arrives(project: ProjectFolder, name: str, labels: list[str], seed: int) -> None:
    made_sentences(labels, 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def tags(stores: Stores) -> list[str]:
    return [one.tags["cl.gates"] for one in stores.registry.versions()]


def test_no_version_is_promoted_before_it_answers_from_the_registry_in_a_fresh_process(shop) -> None:
    stores = open_stores(shop, configuration.load(shop.config))
    arrives(shop, "one", ["loan", "fee"], seed=1)
    with pytest.raises(KilledError):
        run_waiting(shop, executor=dying)
    assert tags(stores) == ["pending"] and stores.ledger.champion("shop") is None
    with pytest.raises(InputError, match="no version 1 of 'shop' that passed its gates"):
        rollback(stores.registry, stores.ledger, "1", why="in haste")
    with pytest.raises(RefusedError, match="the smoke test of version 1 has not ended"):
        promote_by_hand(stores.registry, stores.ledger, "1", why="in haste", despite_gates=True)
    with pytest.raises(InputError, match="version 1 of 'shop' does not wait for approval"):
        record_decision(shop, "1", yes=True, why="in haste")

    (first,) = run_waiting(shop)
    assert first.verdict == "promoted" and tags(stores) == ["passed"]
    assert [(one.gate, one.passed) for one in first.gates.verdicts] == [("floor", True), ("smoke test", True)]
    assert "answers 4 of 4 test rows as during evaluation" in first.gates.verdicts[-1].why
    told = gate_lines(read_verdicts(shop.root, None))
    assert any(line.startswith("pass       smoke test") for line in told)
    assert any(line.startswith("latency p95, ms") for line in told)


RUN_WITHOUT_INTERPRETER = """
import sys, types
import cl.stores.mlflow.fresh_process as fresh
fresh.sys = types.SimpleNamespace(executable="/bin/false")
from cl.cli.main import main
sys.argv = ["cl", "run", "--plain", "-p", sys.argv[1]]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked")
def test_the_command_line_forks_the_fresh_process_and_starts_no_interpreter(shop) -> None:
    arrives(shop, "one", ["loan", "fee"], seed=1)
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_INTERPRETER, str(shop.root)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert tags(open_stores(shop, configuration.load(shop.config))) == ["passed"]


@pytest.mark.nightly
def test_a_version_that_is_damaged_in_the_registry_is_refused_and_the_champion_stays(shop) -> None:
    def damaging(stage: Callable[..., Any]) -> Callable[..., Any]:
        if stage.__name__ == "smoke_test":
            newest = max((shop.root / "mlflow").rglob("head.safetensors"), key=lambda path: path.stat().st_mtime)
            newest.write_bytes(newest.read_bytes()[:-40])
        return stage

    stores = open_stores(shop, configuration.load(shop.config))
    arrives(shop, "one", ["loan", "fee"], seed=1)
    run_waiting(shop)
    arrives(shop, "two", ["loan", "box"], seed=2)
    (second,) = run_waiting(shop, executor=damaging)
    assert second.verdict == "refused" and tags(stores) == ["passed", "failed"]
    assert second.champion_after == stores.ledger.champion("shop") == stores.registry.champion() == "1"
    told = read_verdicts(shop.root, None)
    assert [one["gate"] for one in told["verdicts"] if not one["passed"]] == ["smoke test"]
    assert "head.safetensors was changed after it was saved" in told["verdicts"][-1]["why"]
    (shop.root / "policy.yaml").write_text("gate_policy: {mode: 'off'}")
    now = replay_gates(shop.root, shop.root / "policy.yaml")
    assert [(one["then"], one["now"]) for one in now] == [(True, True), (False, False)], "no policy makes it serve"
    refused = CliRunner().invoke(cl, ["promote", "2", "--despite-gates", "--why", "a wish", "-p", str(shop.root)])
    assert isinstance(refused.exception, RefusedError) and stores.registry.champion() == "1"
    assert re.match("version 2 of 'shop' cannot serve, whatever the reason: .*head.safetensors", str(refused.exception))


@pytest.mark.parametrize("name", ["pyfunc_model.py", "MLmodel", "sitecustomize.py"])
def test_code_in_the_artifact_store_is_never_run(shop, name, tmp_path) -> None:
    def planting(stage: Callable[..., Any]) -> Callable[..., Any]:
        if stage.__name__ == "smoke_test":
            (stored,) = (shop.root / "mlflow" / "artifacts").rglob("MLmodel")
            with stored.with_name(name).open("a") as file:
                file.write(f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
        return stage

    arrives(shop, "one", ["loan", "fee"], seed=1)
    (cycle,) = run_waiting(shop, executor=planting)
    assert cycle.verdict == "refused" and not (tmp_path / "ran").exists()
    why = read_verdicts(shop.root, None)["verdicts"][-1]["why"]
    assert re.search(rf"{re.escape(name)} was (changed after it was|not) registered", why)
    with pytest.raises(RefusedError, match="cannot serve, whatever the reason"):
        promote_version(shop.root, "1", alias="champion", share=None, despite_gates=True, why="a wish")
    assert not (tmp_path / "ran").exists()


@pytest.mark.nightly
def test_a_version_that_a_gate_has_refused_is_tested_when_a_person_wants_it_all_the_same(shop) -> None:
    stores = open_stores(shop, configuration.load(shop.config))
    arrives(shop, "one", ["loan", "fee"], seed=1)
    run_waiting(shop)
    impossible = {"gates": [{"name": "ceiling", "metric": "latency_ms", "max": 0.0}]}
    shop.config.write_text(yaml.safe_dump(yaml.safe_load(shop.config.read_text()) | impossible))
    arrives(shop, "two", ["loan", "box"], seed=2)
    (second,) = run_waiting(shop)
    assert second.verdict == "refused" and "cl.smoke" not in stores.registry.versions()[1].tags
    head = max((shop.root / "mlflow").rglob("head.safetensors"), key=lambda path: path.stat().st_mtime)
    whole = head.read_bytes()
    head.write_bytes(whole[:-40])
    by_hand = partial(promote_version, shop.root, "2", alias="champion", share=None, despite_gates=True)
    with pytest.raises(RefusedError, match=r"cannot serve, whatever the reason: .*head\.safetensors"):
        by_hand(why="a wish")
    assert stores.registry.versions()[1].tags["cl.smoke"] == "failed" and stores.registry.champion() == "1"
    head.write_bytes(whole)
    assert (by_hand(why="nothing is that fast").action, stores.registry.champion()) == ("override", "2")
