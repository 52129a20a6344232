"""Texts with several labels, from rows to a served answer: two updates, an evaluation, its gates, and a drift check."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from cl.config import Config
from cl.drift.detect import compare_snapshots
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import gate
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.models.snapshot import load_reference, save_reference, take_snapshot
from cl.records import Evaluation
from cl.records.past_scores import from_matrix
from cl.registry.register import drift_reference
from cl.serving.served_model import load_served_model
from cl.tasks.multi_label_classification import MultiLabelClassification
from cl.training.train import train
from tests.support.task_rows import made_rows

TASK = MultiLabelClassification()
LABELS = {"may": ["loan", "fee", "card"], "june": ["box", "lamp", "fee"]}
GATES = [
    {"name": "floor", "min": 0.6},
    {"name": "forgetting", "max": 0.1},
    {"name": "rule", "of": "f1", "on": "each_class", "min": 0.4},
    {"name": "rule", "of": "subset_accuracy", "min": 0.3},
    {"name": "no_regression", "margin": 0.05},
]
TRAINING = {
    "epochs": 25,
    "patience": 25,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "head_learning_rate": 1e-2,
    "precision": "float32",
}


def rows_of(ids: list[str], split: str) -> pd.DataFrame:
    size = {"train": 150, "validation": 90, "test": 60}[split]
    parts = [made_rows(TASK, LABELS[id], size, seed=len(split), prefix=f"{id}-{split}") for id in ids]
    return pd.concat(parts, ignore_index=True) if parts else made_rows(TASK, ["loan"], 0)


@dataclass(frozen=True)
class Story:
    """What two updates have made, and the configuration."""

    config: Config
    folder: Path

    def evaluated(self) -> Evaluation:
        """Evaluate the second version next to the first."""
        held_out = HeldOut(["may", "june"], from_matrix({"may": {"may": 0.9}}), rows_of)
        return evaluate(
            self.config, Candidates(self.folder / "june", self.folder / "may"), held_out, folder=self.folder
        )


@pytest.fixture(params=["replay", {"name": "ranpac", "features": 300}], ids=["replay", "ranpac"])
def story(request, tiny_config: Callable[..., Config], tmp_path: Path) -> Story:
    """Learn two months."""
    quick = {"latency_calls": 2, "throughput_rows": 4, "robustness": ["typos", "adversarial"], "robustness_rows": 8}
    config = tiny_config(
        task=TASK.name,
        strategy=request.param,
        training=TRAINING,
        gates=GATES,
        evaluation=quick,
        drift={"report": "off"},
    )
    champion, past = None, list[str]()
    for month in LABELS:
        result = train(config, champion=champion, new=[month], past=past, rows_of=rows_of, folder=tmp_path / month)
        assert result.validation_score is not None and result.validation_score > 0.6
        champion, past = tmp_path / month, [*past, month]
    return Story(config, tmp_path)


def test_two_months_are_learned_judged_watched_and_served(story: Story) -> None:
    evaluation = story.evaluated()
    assert evaluation.metric == "micro_f1" and set(evaluation.per_class) == {"loan", "fee", "card", "box", "lamp"}
    assert not evaluation.baselines.of and evaluation.untested_classes == []
    report = gate(story.config, evaluation)
    assert report.passed, [verdict.why for verdict in report.verdicts]
    assert 0 <= evaluation.numbers["robustness_adversarial"] <= 1
    assert 0 <= evaluation.numbers["ece"] < 0.3

    learner = load_learner(story.folder / "may")
    save_reference(drift_reference(story.config, rows_of, story.folder / "may", ["may"]), story.folder)
    new = take_snapshot(learner, rows_of(["june"], "train"))
    drift = compare_snapshots(story.config, "june", load_reference(story.folder), new, folder=story.folder / "drift")
    assert drift.drifted and drift.new_labels == ["box", "lamp"] and drift.metric == TASK.row_metric

    served = load_served_model("2", story.folder / "june", "float32")
    texts = rows_of(["may", "june"], "test")["text"].tolist()
    expected = answer(load_learner(story.folder / "june"), pd.DataFrame({"text": texts})).predictions
    answers = served.answer(texts, served.encode(texts))
    assert [one.value for one in answers] == [prediction.value for prediction in expected]
    assert [one.confidence for one in answers] == pytest.approx([own.confidence for own in expected], abs=1e-4)
    assert {len(one.value) for one in answers} == {0, 1, 2} and json.dumps(answers[0].value)
