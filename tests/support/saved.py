"""Versions whose head tells texts apart, saved as a server loads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.persistence import save_learner
from cl.serving.served_model import ServedModel
from tests.support.tiny import made_sentences

LABELS = ["card", "fee", "loan"]
TEXTS = made_sentences(LABELS, 30, seed=5)["text"].tolist()


@pytest.fixture(name="saved")
def saved_version(tiny_config, tiny_model, tmp_path):
    """Saves a learner whose head tells texts apart; keyword arguments are the model's settings."""

    def make(**model: object) -> Path:
        learner = new_learner(tiny_config(model={"name": str(tiny_model), **model}))
        learner = grow_labels(learner, LABELS, seed=1)
        freeze_all_but_tuned(learner)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            added = learner.tuning.moving(learner.encoder) if learner.tuning.adds_modules else []
            for parameter in [*learner.head.parameters(), *added]:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
        save_learner(learner, tmp_path)
        return tmp_path

    return make


def probabilities(loaded: ServedModel) -> np.ndarray:
    return np.concatenate([one.probabilities for one in loaded.answer(TEXTS, loaded.encode(TEXTS))])
