"""A version in ONNX, as it is served."""

from __future__ import annotations

import numpy as np

from cl.models.onnx.export import write_graph
from cl.models.persistence import load_learner, save_learner
from cl.models.rewrites import quantise_learner
from cl.serving.served_model import load_served_model
from tests.support.saved import LABELS, TEXTS, probabilities, saved_version  # noqa: F401


def test_a_version_in_onnx_is_served_as_it_is_and_its_weights_are_in_memory_once(saved, tmp_path_factory) -> None:
    own, folder = quantise_learner(load_learner(saved())), tmp_path_factory.mktemp("onnx")
    save_learner(own, folder)
    ours = probabilities(load_served_model("1", folder, "float32"))
    write_graph(own.encoder, own.head.layers, folder / "encoder")
    for precision in ("auto", "int8"):
        loaded = load_served_model("1", folder, precision)
        assert all(one.is_meta for one in loaded.learner.encoder.state_dict().values())
        assert np.abs(probabilities(loaded) - ours).max() < 0.02
