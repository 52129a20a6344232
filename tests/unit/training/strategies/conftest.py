"""An update as a strategy sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from cl.models.batching import collate
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.learner import Learner
from cl.training.strategies import State, Step, TrainingData, Update


@pytest.fixture
def learner(tiny_config) -> Learner:
    torch.manual_seed(0)
    learner = grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=1)
    freeze_all_but_tuned(learner)
    return learner


@pytest.fixture
def update_of() -> Callable[..., Update]:
    def make(learner: Learner | None, rows: pd.DataFrame, state: State | None = None, seed: int = 0) -> Update:
        lesson = TrainingData(rows=rows, past=lambda: rows.iloc[:0], rng=np.random.default_rng(seed), validation=rows)
        return Update(state or State(), lesson, learner)  # type: ignore[arg-type]

    return make


@pytest.fixture
def step_of() -> Callable[..., Step]:
    def make(learner: Learner, rows: pd.DataFrame) -> Step:
        encoded = learner.encode(rows)
        batch = collate(learner.task, encoded, list(range(len(rows))), learner.tokenizer.pad_token_id, learner.device)
        return Step(rows["id"].tolist(), batch, learner.logits(batch))

    return make
