"""Whole numbers in ONNX Runtime are those of torch, and a text is answered the same in any company."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch

from cl.errors import InputError
from cl.models.inference import answer
from cl.models.onnx.int8 import quantise_graph
from cl.models.persistence import load_learner


def test_states_are_those_of_torch_but_for_a_rounding_here_and_there(in_onnx_int8) -> None:
    graph = load_learner(in_onnx_int8)
    ours = replace(graph, graph=None)
    ids = torch.randint(5, 40, (16, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[::3, 5:] = 0
    with torch.inference_mode():
        apart = (ours.states(ids, mask)[-1] - graph.states(ids, mask)[-1]).abs()
    assert apart.mean() < 1e-3 and apart.max() < 0.1


def test_every_matrix_is_multiplied_and_looked_up_as_whole_numbers(in_onnx_int8) -> None:
    graph = onnx.load(in_onnx_int8 / "encoder" / "model.onnx").graph
    assert [node.op_type for node in graph.node].count("MatMulInteger") == 12, "six in each layer"
    assert sum(one.data_type == onnx.TensorProto.INT8 for one in graph.initializer) == 13, "and the word embeddings"


def test_what_a_text_is_answered_through_onnx_does_not_depend_on_its_company(in_onnx_int8, sentences) -> None:
    graph, rows = load_learner(in_onnx_int8), sentences(["loan", "fee"], 12)
    together = answer(graph, rows).predictions
    alone = [answer(graph, rows.iloc[[at]]).predictions[0] for at in range(len(rows))]
    for one, other in zip(together, alone, strict=True):
        assert one.value == other.value and abs(one.confidence - other.confidence) < 1e-5


def test_a_matrix_that_is_used_otherwise_is_refused_by_name() -> None:
    node = onnx.helper.make_node("Einsum", ["x", "odd.weight"], ["y"], equation="ab,cb->ac")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "odd", [], []))
    with pytest.raises(InputError, match=r"odd\.weight is used by Einsum: leave out --int8"):
        quantise_graph(model, {"odd.weight"})
