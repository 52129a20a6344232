"""An encoder's graph refers to the weights that were saved, says nothing of where it was made, and reads any shape."""

from __future__ import annotations

import json
import shutil

import onnx
import pytest
import torch

from cl.errors import InputError
from cl.models import weight_files
from cl.models.inference import answer
from cl.models.onnx.export import find_tensors, write_graph
from cl.models.persistence import load_learner, save_learner


def test_rows_of_any_number_and_length_have_the_states_of_torch(plain, in_onnx) -> None:
    graph = load_learner(in_onnx)
    for rows, length in ((1, 1), (1, 9), (2, 2), (5, 30), (64, 64)):
        ids = torch.randint(5, 40, (rows, length), generator=torch.Generator().manual_seed(0))
        mask = torch.ones_like(ids)
        mask[::2, 1 + length // 2 :] = 0
        with torch.inference_mode():
            found, wanted = graph.states(ids, mask)[-1], plain.states(ids, mask)[-1]
        assert found.shape == (rows, length, 32) and (found - wanted).abs().max() < 1e-4


def test_no_weight_is_written_twice_and_none_but_safetensors_holds_one(in_onnx) -> None:
    encoder = in_onnx / "encoder"
    model = onnx.load(encoder / "model.onnx", load_external_data=False)
    held = {tensor.name for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}
    assert held == set(find_tensors(encoder / "model.safetensors"))
    inside = [tensor for tensor in model.graph.initializer if tensor.name not in held]
    assert {tensor.data_type for tensor in inside} <= {onnx.TensorProto.INT64}, "positions, but no weight"


def test_other_weights_in_the_safetensors_are_answered_with(plain, in_onnx, tmp_path, sentences) -> None:
    folder, rows = tmp_path / "one", sentences(["loan", "fee"], 12)
    shutil.copytree(in_onnx, folder)
    with torch.no_grad():
        for parameter in plain.encoder.parameters():
            parameter.mul_(1.5)
    plain.encoder.save_pretrained(folder / "encoder")
    before, after = (answer(load_learner(one), rows).embeddings for one in (in_onnx, folder))
    assert abs(after - answer(plain, rows).embeddings).max() < 1e-4 < 0.1 < abs(after - before).max()


def test_a_learner_that_is_saved_again_keeps_its_graph(in_onnx_int8, tmp_path, sentences) -> None:
    graph, rows = load_learner(in_onnx_int8), sentences(["loan", "fee"], 12)
    save_learner(graph, tmp_path)
    again = load_learner(tmp_path)
    assert again.graph is not None and again.is_int8
    assert answer(again, rows).predictions == answer(graph, rows).predictions
    assert json.loads((tmp_path / "learner.json").read_text())["int8"] is True


def test_an_encoder_that_torch_cannot_export_is_told_in_a_line(plain, tmp_path) -> None:
    save_learner(plain, tmp_path)

    class Undecided(torch.nn.Module):
        def forward(self, states: torch.Tensor, *more: object, **told: object) -> torch.Tensor:
            return states if states.sum() > 0 else -states

    plain.encoder.encoder.layer[0] = Undecided()
    with pytest.raises(InputError, match="torch cannot export the encoder BertModel to ONNX: ") as told:
        write_graph(plain.encoder, plain.head.layers, tmp_path / "encoder")
    assert "\n" not in str(told.value) and not (tmp_path / "encoder" / "model.onnx").exists()


def test_a_graph_refers_to_each_of_the_two_files_that_hold_the_weights(plain, tmp_path, sentences, monkeypatch) -> None:
    monkeypatch.setattr(weight_files, "FROZEN_BYTES", 1)
    save_learner(plain, tmp_path)
    encoder = tmp_path / "encoder"
    write_graph(plain.encoder, plain.head.layers, encoder)
    model = onnx.load(encoder / "model.onnx", load_external_data=False)
    entries = [entry for tensor in model.graph.initializer for entry in tensor.external_data]
    assert {entry.value for entry in entries if entry.key == "location"} == {weight_files.FROZEN, weight_files.TRAINED}
    graph, rows = load_learner(tmp_path), sentences(["loan", "fee"], 6)
    assert graph.graph is not None
    assert abs(answer(graph, rows).embeddings - answer(plain, rows).embeddings).max() < 1e-4
    again = tmp_path / "again"
    again.mkdir()
    save_learner(graph, again)
    assert abs(answer(load_learner(again), rows).embeddings - answer(graph, rows).embeddings).max() == 0
