"""What the contracts of models share: a folder for a checkpoint, and learners of every family."""

from __future__ import annotations

import pytest

from cl.models.build import grow_labels, new_learner
from tests.support.families import FAMILIES, LONGER


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model"


@pytest.fixture
def learner_of(tiny_config, folder):
    def make(family, *, pad=True, task="text_classification", tuning="full", **tokenizer):
        model = {"name": str(FAMILIES[family].save(folder, pad=pad, **tokenizer)), "tuning": tuning}
        config = tiny_config(task=task, model={**model, "dropout": 0.0, "max_length": LONGER})
        learner = new_learner(config)
        labels = ["fee", "loan"] if task == "text_classification" else ["O", "B-PER", "I-PER"]
        return grow_labels(learner, labels, seed=1)

    return make
