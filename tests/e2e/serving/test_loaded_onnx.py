"""A version in ONNX, as it is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cl.serving.loaded import Loaded, load
from cl.training.int8 import quantised
from cl.training.learner import freeze, grown, load_learner, new_learner, save_learner
from cl.training.onnx_export import write_graph
from tests.support.tiny import made_sentences

LABELS = ["card", "fee", "loan"]
TEXTS = made_sentences(LABELS, 30, seed=5)["text"].tolist()


@pytest.fixture
def saved(tiny_config, tiny_model, tmp_path):
    """Saves a learner whose head tells texts apart; keyword arguments are the model's settings."""

    def make(**model: object) -> Path:
        learner = new_learner(tiny_config(model={"name": str(tiny_model), **model}))
        learner = grown(learner, LABELS, seed=1)
        freeze(learner)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            added = learner.tuning.moving(learner.encoder) if learner.tuning.adds else []
            for parameter in [*learner.head.parameters(), *added]:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
        save_learner(learner, tmp_path)
        return tmp_path

    return make


def probabilities(loaded: Loaded) -> np.ndarray:
    return np.concatenate([one.probabilities for one in loaded.answer(TEXTS, loaded.encode(TEXTS))])


def test_a_version_in_onnx_is_served_as_it_is_and_its_weights_are_in_memory_once(saved, tmp_path_factory) -> None:
    own, folder = quantised(load_learner(saved())), tmp_path_factory.mktemp("onnx")
    save_learner(own, folder)
    ours = probabilities(load("1", folder, "float32"))
    write_graph(own, folder / "encoder")
    for precision in ("auto", "int8"):
        loaded = load("1", folder, precision)
        assert all(one.is_meta for one in loaded.learner.encoder.state_dict().values())
        assert np.abs(probabilities(loaded) - ours).max() < 0.02
