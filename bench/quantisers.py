"""What other int8 quantisers make of the same encoder: the encoder of a learner as they compute it."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import replace
from pathlib import Path

import torch

from cl.models.learner import Learner
from cl.models.onnx.graph import Graph, load_graph

AVAILABLE = ["ONNX Runtime's int8", *(["torchao's int8"] if importlib.util.find_spec("torchao") else [])]
"""torchao is not among Perennial's packages: pip install torchao."""


def quantised_by(name: str, learner: Learner, graph: Path, out: Path) -> Learner:
    """Return a learner whose encoder another quantiser has made.

    Args:
        name: one of `AVAILABLE`.
        learner: in float32.
        graph: the encoder's folder of the same learner in ONNX.
        out: where files may be written.
    """
    if name.startswith("torchao"):
        return replace(learner, encoder=_by_torchao(copy.deepcopy(learner.encoder)))
    return replace(learner, graph=_by_onnx_runtime(graph, out))


def _by_onnx_runtime(graph: Path, out: Path) -> Graph:
    """Dynamic quantisation: one scale for the states of a whole batch, one for each column of a matrix."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    out.mkdir(parents=True, exist_ok=True)
    whole, folded = out / "whole.onnx", out / "folded.onnx"
    onnx.save(onnx.load(graph / "model.onnx"), whole)  # its tools look for no weights beside a graph
    # without this, matrices that are transposed first would stay in floats
    quant_pre_process(str(whole), str(folded), skip_symbolic_shape=True)
    quantize_dynamic(folded, out / "model.onnx", per_channel=True, weight_type=QuantType.QInt8)
    for one in (whole, folded):
        one.unlink()
    return load_graph(out)


def _by_torchao(encoder: torch.nn.Module) -> torch.nn.Module:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(encoder, Int8DynamicActivationInt8WeightConfig())
    return encoder
