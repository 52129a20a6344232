"""A month in which no entity occurs is learned like any other, by the real cycle on real files."""

from __future__ import annotations

import json
from pathlib import Path

from cl.project import Project
from tests.support.tiny import WORDS, tiny_project

QUICK = {"smoke_rows": 0, "baselines": False, "robustness": [], "latency_calls": 2, "throughput_rows": 8}


def sentences(prefix: str, rows: int, *, entities: bool) -> str:
    """Return sentences as JSON lines, with a person and a place each, or with none."""
    lines = []
    for index in range(rows):
        words = [WORDS[(index + step) % 20] for step in range(4)]
        tokens, tags = [*words, f"n{index}"], ["O"] * 5
        if entities:
            tokens, tags = [*tokens, "anna", "lives", "in", "paris"], [*tags, "B-PER", "O", "O", "B-LOC"]
        lines.append(json.dumps({"id": f"{prefix}{index}", "tokens": tokens, "tags": tags}))
    return "\n".join(lines) + "\n"


def test_a_month_without_an_entity_is_left_out_of_the_floor_and_promoted(tiny_model, tmp_path: Path) -> None:
    root = tmp_path / "shop"
    gates = [{"name": "floor", "min": 0.5}, {"name": "forgetting", "max": 0.05}]
    tiny_project(root, tiny_model, task="token_classification", strategy="ranpac", gates=gates, evaluation=QUICK)
    project = Project.open(root)
    for month, entities in (("may", True), ("june", False)):
        (root / "inbox" / f"{month}.jsonl").write_text(sentences(month, 60, entities=entities))
        (cycle,) = project.run()
        assert cycle.verdict == "promoted", cycle.gates
    evaluation = cycle.evaluation
    assert evaluation is not None and evaluation.undecided.keys() == {"0002-june"}
    assert evaluation.accuracy == evaluation.row["0001-may"] >= 0.5
    (run,) = [run for run in project.history() if run.experience.id == "0002-june"]
    metrics = project_metrics(root, str(run.run))
    assert "challenger/score/0001-may" in metrics and "challenger/score/0002-june" not in metrics


def project_metrics(root: Path, run: str) -> dict[str, float]:
    from mlflow import MlflowClient

    return dict(MlflowClient(f"sqlite:///{root}/mlflow/mlflow.db").get_run(run).data.metrics)
