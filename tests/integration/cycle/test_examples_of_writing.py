"""The examples whose answers are written run through two experiences, with a tiny model in place of the real one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import cl
from cl.lifecycle import run_waiting
from cl.stores.project_folder import ProjectFolder
from tests.support.repository import ROOT
from tests.support.tiny import made_tiny_writer, tiny_project

EXAMPLES = {
    "translation": (("shop", "travel"), "chrf", "corpus_chrf"),
    "summaries": (("meetings", "incidents"), "rouge_l", "rouge_l"),
    "answers": (("library", "museum"), "f1", "f1"),
}


def project_of(example: str, folder: Path, writer: Path) -> ProjectFolder:
    """Make a project with an example's configuration, but a tiny model that learns for one epoch."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "examples" / example / "cl.yaml").read_text(encoding="utf-8"))
    raw |= {"model": {"name": str(writer), "max_length": 64}, "training": {"epochs": 1, "precision": "float32"}}
    raw["task"]["max_new_tokens"] = 4
    raw["data"]["source"] = {"name": "files", "path": "inbox"}
    raw["gate_policy"] = {"mode": "dry_run"}
    raw["evaluation"] = {"smoke_rows": 0, "latency_calls": 1, "throughput_rows": 2}
    return tiny_project(folder, writer, **raw)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_read_learned_scored_and_judged_twice(example, tiny_model, tmp_path) -> None:
    streams, metric, together = EXAMPLES[example]
    project = project_of(example, tmp_path / "project", made_tiny_writer(tmp_path / "writer", tiny_model))
    for name in streams:
        shutil.copy(ROOT / "examples" / example / f"{name}.jsonl", project.root / "inbox")
        run_waiting(project)
    first, second = cl.Project.open(project.root).history()
    assert first.experience.quarantined_rows == second.experience.quarantined_rows == 0
    assert second.evaluation is not None and second.evaluation.metric == metric
    assert {comparison.metric for comparison in second.evaluation.comparisons} >= {together, "rouge_l"}
    assert second.gates is not None and len(second.gates.verdicts) >= 2 and second.drift.findings


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_rows_of_an_example_are_all_different_and_each_has_an_answer(example) -> None:
    rows = [
        json.loads(line)
        for name in EXAMPLES[example][0]
        for line in (ROOT / "examples" / example / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(rows) >= 40 and len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == len(rows)
    assert all(row["completion"].strip() and row.keys() == {"id", "prompt", "completion"} for row in rows)
