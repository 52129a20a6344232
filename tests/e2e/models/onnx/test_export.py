"""What torch writes down as a graph, written again."""

from __future__ import annotations

from dataclasses import replace

import torch

from cl.models.closed_form_head import ClosedFormHead
from cl.models.onnx.export import write_graph
from cl.models.onnx.graph import load_graph
from cl.models.persistence import save_learner


def test_the_same_encoder_has_the_same_graph_and_it_tells_nothing_of_this_machine(plain, in_onnx, tmp_path) -> None:
    save_learner(plain, tmp_path)
    write_graph(plain.encoder, plain.head.layers, tmp_path / "encoder")
    graph = (tmp_path / "encoder" / "model.onnx").read_bytes()
    assert graph == (in_onnx / "encoder" / "model.onnx").read_bytes()
    for trace in (b"site-packages", b".py", b"stack_trace", b"onnx_export"):
        assert trace not in graph


def test_a_graph_gives_the_states_of_as_many_layers_as_the_head_reads(plain, tmp_path) -> None:
    solved = replace(plain, head=ClosedFormHead(32, 3, layers=2))
    save_learner(solved, tmp_path)
    write_graph(solved.encoder, solved.head.layers, tmp_path / "encoder")
    graph, ids = load_graph(tmp_path / "encoder"), torch.tensor([[2, 5, 6, 3]])
    with torch.inference_mode():
        found, wanted = graph.states(ids, torch.ones_like(ids), 2), plain.states(ids, torch.ones_like(ids), 2)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, wanted, strict=True))
    assert not torch.allclose(found[0], found[1], atol=1e-2)
