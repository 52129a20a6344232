"""A graph that answers otherwise than torch is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cl.compression.onnx_check import check_graph_matches
from cl.errors import InputError
from cl.models.persistence import load_learner


def test_the_same_weights_answer_the_same(plain, in_onnx, sentences) -> None:
    check_graph_matches(plain, load_learner(in_onnx), sentences(["loan", "fee"], 30))


@pytest.mark.parametrize("factor", [1.1, float("nan")])
def test_other_weights_are_told_with_the_difference(plain, in_onnx, sentences, factor) -> None:
    with torch.no_grad():
        plain.encoder.embeddings.LayerNorm.weight[:8].mul_(factor)
    with pytest.raises(InputError, match=r"BertModel does not match its encoder: on 30 rows .* 0\.001 is allowed"):
        check_graph_matches(plain, load_learner(in_onnx), sentences(["loan", "fee"], 30))


def test_whole_numbers_may_be_a_rounding_apart(in_onnx_int8, sentences) -> None:
    graph = load_learner(in_onnx_int8)
    check_graph_matches(replace(graph, graph=None), graph, sentences(["loan", "fee"], 30))
