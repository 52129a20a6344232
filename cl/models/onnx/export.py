"""How an encoder becomes an ONNX graph: torch writes it down, and its tensors are looked up in the safetensors."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from cl.errors import InputError
from cl.models.int8 import dequantise, is_int8
from cl.models.onnx.graph import GRAPH, WEIGHTS, check_installed, state_names
from cl.models.onnx.int8 import quantise_graph

if TYPE_CHECKING:
    from onnx import ModelProto
    from transformers import PreTrainedModel

OPSET = 20
SHAPE = (3, 7)
"""Rows and length that are traced; any other will do, but for one, which torch takes for a constant."""


class Reader(torch.nn.Module):
    """The states of an encoder's last layers, as a graph gives them."""

    def __init__(self, encoder: PreTrainedModel, layers: int) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, layers

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the states (rows, length, width), the last layer last."""
        more = self.layers > 1
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=more)
        return tuple(out.hidden_states[-self.layers :]) if more else (out.last_hidden_state,)


class TensorPlace(NamedTuple):
    """Where a tensor lies in a safetensors file, in bytes from its beginning, and of which kind it is there."""

    kind: str
    offset: int
    length: int


def write_graph(encoder: PreTrainedModel, layers: int, folder: Path) -> None:
    """Write the graph of an encoder beside the safetensors that the encoder was saved in.

    Args:
        encoder: in floats or in int8, nothing added to it.
        layers: how many layers are read, the last one last.
        folder: of the encoder.

    Raises:
        InputError: packages are missing, or torch cannot export this encoder.
    """
    check_installed()
    quantised = is_int8(encoder)
    places = find_tensors(folder / WEIGHTS)
    model = _exported(dequantise(encoder) if quantised else encoder, layers)
    if quantised:
        quantise_graph(model, {name for name, one in places.items() if one.kind == "I8"})
    _refer(model, places)
    (folder / GRAPH).write_bytes(model.SerializeToString(deterministic=True))


def rewrite_graph(model: bytes, folder: Path) -> None:
    """Write a graph beside weights of the same names and shapes that were saved anew."""
    check_installed("onnx")
    import onnx

    graph = onnx.load_model_from_string(model)
    _refer(graph, find_tensors(folder / WEIGHTS))
    (folder / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))


def find_tensors(path: Path) -> dict[str, TensorPlace]:
    """Return where the tensors of a safetensors file lie: its header is eight bytes of length, then JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    first = 8 + length
    return {
        name: TensorPlace(one["dtype"], first + one["data_offsets"][0], one["data_offsets"][1] - one["data_offsets"][0])
        for name, one in header.items()
        if name != "__metadata__"
    }


def _exported(encoder: PreTrainedModel, layers: int) -> ModelProto:
    """Return an encoder's graph without anything that tells where it was made; its tensors have the encoder's names."""
    ids, sizes = torch.zeros(SHAPE, dtype=torch.int64, device=encoder.device), {0: "rows", 1: "length"}
    try:
        with _in_silence():
            made = torch.onnx.export(
                Reader(encoder, layers).eval(),
                (ids, torch.ones_like(ids)),
                input_names=["input_ids", "attention_mask"],
                output_names=state_names(layers),
                dynamic_shapes=(sizes, sizes),
                opset_version=OPSET,
                dynamo=True,
                optimize=False,  # folded weights would be other tensors than the safetensors'
                verbose=False,
            )
    except (RuntimeError, ValueError) as error:  # the exporter's own errors are RuntimeErrors
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise InputError(f"torch cannot export the encoder {type(encoder).__name__} to ONNX: {reason}") from None
    assert made is not None
    model = made.model_proto
    _without_traces(model)
    _renamed(model, {one.name: one.name.removeprefix("encoder.") for one in model.graph.initializer})
    return model


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Keep the exporter, and what it imports, from telling of each step."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [one.level for one in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, before, strict=True):
                one.setLevel(level)


def _without_traces(model: ModelProto) -> None:
    """Remove stack traces, with paths of this machine in them, and shapes that are of the traced rows alone."""
    graph = model.graph
    del graph.value_info[:]
    for one in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del one.metadata_props[:]
        one.doc_string = ""


def _renamed(model: ModelProto, names: dict[str, str]) -> None:
    for one in model.graph.initializer:
        one.name = names[one.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def _refer(model: ModelProto, places: dict[str, TensorPlace]) -> None:
    """Have each initialiser that is a tensor of the safetensors refer to its place there."""
    from onnx import TensorProto

    for tensor in model.graph.initializer:
        place = places.get(tensor.name)
        if place is None:
            continue
        told: dict[str, Any] = {"location": WEIGHTS, "offset": place.offset, "length": place.length}
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in told.items():
            tensor.external_data.add(key=key, value=str(value))
