"""What opens a graph: it needs its packages, reads nothing outside its folder, and tells in a line what it cannot."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import onnx
import pytest
import torch

from cl.errors import InputError, StoreError
from cl.extras import require
from cl.models.onnx.graph import IN_ONNX, PACKAGES, load_graph
from cl.models.persistence import load_learner
from cl.serving.served_model import prepare_for_serving
from tests.support.batches import batch_of


@pytest.fixture
def folder(in_onnx, tmp_path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(in_onnx, tmp_path / "version")
    return tmp_path / "version"


def test_it_computes_with_as_many_threads_as_torch(folder) -> None:
    assert load_graph(folder / "encoder").session.get_session_options().intra_op_num_threads == torch.get_num_threads()


def test_without_its_packages_it_says_what_to_install(folder, monkeypatch) -> None:
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"needs onnx, onnxruntime, onnxscript: pip install 'perennial-ml\[onnx\]'"):
        require(IN_ONNX, *PACKAGES)
    with pytest.raises(InputError, match="needs onnxruntime: pip install"):
        load_learner(folder)


def test_weights_outside_the_folder_are_not_read(folder) -> None:
    encoder = folder / "encoder"
    model = onnx.load(encoder / "model.onnx", load_external_data=False)
    shutil.move(encoder / "model.safetensors", folder / "model.safetensors")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../model.safetensors" if entry.key == "location" else entry.value
    (encoder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(StoreError, match="ONNX Runtime cannot read it"):
        load_graph(encoder)


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_what_is_no_graph_is_told_in_a_line(folder, content) -> None:
    (folder / "encoder" / "model.onnx").write_bytes(content)
    with pytest.raises(StoreError, match=r"model\.onnx: ONNX Runtime cannot read it") as told:
        load_learner(folder)
    assert "\n" not in str(told.value)


def test_where_a_gradient_is_wanted_torch_computes(folder) -> None:
    learner, ids = load_learner(folder), torch.tensor([[2, 5, 6, 3]])
    states = learner.states(ids, torch.ones_like(ids))[-1]
    states.sum().backward()
    assert all(one.grad is not None for name, one in learner.encoder.named_parameters() if "layer.0" in name)
    with torch.no_grad():
        assert torch.allclose(learner.states(ids, torch.ones_like(ids))[-1], states, atol=1e-5)


def test_what_only_answers_holds_no_second_copy_of_the_weights(folder) -> None:
    learner, ids = load_learner(folder), torch.tensor([[2, 5, 6, 3]])
    with torch.inference_mode():
        before = learner.logits(batch_of(ids))
        small = prepare_for_serving(learner)
        assert all(one.is_meta for one in small.encoder.parameters()) and small.device == torch.device("cpu")
        assert torch.equal(small.logits(batch_of(ids)), before)
