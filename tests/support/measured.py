"""A tiny model that has learnt a little, and rows that it has not seen."""

from __future__ import annotations

import pandas as pd
import pytest

from cl.config import parse
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.training.train import train
from tests.support.tiny import made_sentences

LABELS = ["loan", "fee", "box"]


def trained(folder, tiny_model, **changes) -> Learner:
    """Train the tiny model on three labels for a second."""
    config = parse(
        {
            "model": {"name": str(tiny_model), "dropout": 0.0, **changes.pop("model", {})},
            "training": {"epochs": 12, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2},
            **changes,
        },
        where="test",
    )

    def rows_of(ids, split):
        return made_sentences(LABELS, 60 if ids else 0, seed=len(split))

    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=folder)
    return load_learner(folder)


@pytest.fixture(scope="session")
def learner(tmp_path_factory, tiny_model) -> Learner:
    return trained(tmp_path_factory.mktemp("measured") / "1", tiny_model)


@pytest.fixture(scope="session")
def unseen() -> pd.DataFrame:
    return made_sentences(LABELS, 40, seed=99)
