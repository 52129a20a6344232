"""A project that configures nothing of how to learn: both rungs, the baselines, and what is recorded of them."""

from __future__ import annotations

import pandas as pd

from cl.config import load
from cl.config.config import default_ladder
from cl.lifecycle import run_waiting
from cl.records import BASELINES
from cl.reports.terminal.cycles import reason_lines
from cl.stores.stores import open_stores
from tests.support.climbing import arrives
from tests.support.tiny import tiny_project

SOLVE, ADAPT = default_ladder({"name": "ranpac", "features": 128})
SMALL = [SOLVE, {**ADAPT, "below": None}]


def test_the_default_ladder_is_climbed_and_its_challenger_stands_beside_the_baselines(tmp_path, tiny_model) -> None:
    project = tiny_project(
        tmp_path / "shop",
        tiny_model,
        ladder=SMALL,
        evaluation={"smoke_rows": 0, "robustness": []},
        decide={"min_gain": 0.01},
        gates=[{"name": "baseline", "margin": 0.3}],
    )
    arrives(project, "one", ["loan", "fee"], seed=1)
    (first,) = run_waiting(project)
    assert {result.rung for result in first.climb.begun} == {"solve", "adapt"} and first.verdict == "promoted"
    assert first.gain.unknown == "there is no champion yet"
    baselines = first.evaluation.baselines
    assert set(baselines.of) == set(BASELINES)
    assert first.evaluation.numbers["over_baseline"] == first.evaluation.accuracy - max(
        baseline.accuracy for baseline in baselines.of.values()
    )
    assert any("on the same rows: the majority class" in line for line in reason_lines([first]))

    stores = open_stores(project, load(project.config))
    assert "baseline_score" in pd.read_parquet(stores.registry.runs.evaluated(first.id, tmp_path))
    classes = pd.read_csv(next((project.root / "mlflow").rglob("classes.csv")))
    assert set(classes["class"]) == {"loan", "fee"} and {"precision", "recall", "f1"} <= set(classes)

    arrives(project, "two", ["loan", "box"], seed=2)
    (second,) = run_waiting(project)
    assert (
        second.climb.attempts[0].rung == "adapt" and "it is due at 3 times as many" in second.climb.attempts[0].skipped
    )
    assert second.rung == "solve" and second.gain.new_rows > 0
