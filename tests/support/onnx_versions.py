"""Versions that answer through ONNX, made once: torch takes seconds to write a graph down."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cl.config import parse
from cl.models.build import grow_labels, new_learner
from cl.models.learner import Learner
from cl.models.onnx.export import write_graph
from cl.models.persistence import save_learner
from cl.models.rewrites import quantise_learner

LABELS = ["loan", "fee", "box"]


def untaught(model: Path) -> Learner:
    """A learner around a model in a folder, its head drawn at random: wide, so that texts are told apart."""
    learner = grow_labels(
        new_learner(parse({"model": {"name": str(model), "dropout": 0.0}}, where="test")), LABELS, seed=0
    )
    with torch.no_grad():
        for parameter in learner.head.parameters():
            parameter.mul_(20)
    learner.eval_mode()
    return learner


def with_graph(learner: Learner, folder: Path) -> Path:
    """Save a learner and the graph of its encoder."""
    save_learner(learner, folder)
    write_graph(learner.encoder, learner.head.layers, folder / "encoder")
    return folder


@pytest.fixture
def plain(tiny_model: Path) -> Learner:
    """What the graphs below were made of."""
    return untaught(tiny_model)


@pytest.fixture(scope="session")
def in_onnx(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version in ONNX; nobody changes it."""
    return with_graph(untaught(tiny_model), tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="session")
def in_onnx_int8(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in int8; nobody changes it."""
    return with_graph(quantise_learner(untaught(tiny_model)), tmp_path_factory.mktemp("onnx-int8"))
