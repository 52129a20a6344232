"""A gate, a strategy and a task of another package in a whole cycle."""

from __future__ import annotations

import json

import yaml

from tests.support.outside_site import cl
from tests.support.tiny import made_sentences, tiny_project


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
