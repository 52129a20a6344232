"""Export an encoder to ONNX; the graph's initialisers refer to the tensors of the safetensors files."""

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
from cl.extras import require
from cl.models.int8 import dequantise, is_int8
from cl.models.onnx.graph import GRAPH, IN_ONNX, PACKAGES, state_names
from cl.models.onnx.int8 import quantise_graph
from cl.models.weight_files import weight_files

if TYPE_CHECKING:
    from onnx import ModelProto
    from transformers import PreTrainedModel

OPSET = 20
SHAPE = (3, 7)
"""Rows and length of the traced example; any sizes but 1 work, which torch would treat as a constant."""


class StatesExporter(torch.nn.Module):
    """Wraps an encoder so that it returns the states of its last layers."""

    def __init__(self, encoder: PreTrainedModel, layers: int) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, layers

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the states (rows, length, width), the last layer last."""
        more = self.layers > 1
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=more)
        return tuple(out.hidden_states[-self.layers :]) if more else (out.last_hidden_state,)


class TensorLocation(NamedTuple):
    """A tensor's data type, the name of its safetensors file, and its byte range, counted from the file's start."""

    kind: str
    file: str
    offset: int
    length: int


def write_graph(encoder: PreTrainedModel, layers: int, folder: Path) -> None:
    """Write an encoder's graph next to the safetensors files that the encoder was saved in.

    Args:
        encoder: in floats or in int8, with nothing added to it.
        layers: how many of the last layers the graph returns, last layer last.
        folder: of the encoder.

    Raises:
        InputError: packages are missing, or torch cannot export this encoder.
    """
    require(IN_ONNX, *PACKAGES)
    quantised = is_int8(encoder)
    locations = _find_all_tensors(folder)
    model = _export(dequantise(encoder, as_linear=True) if quantised else encoder, layers)
    if quantised:
        quantise_graph(model, {name for name, location in locations.items() if location.kind == "I8"})
    _link_weights(model, locations)
    (folder / GRAPH).write_bytes(model.SerializeToString(deterministic=True))


def rewrite_graph(model: bytes, folder: Path) -> None:
    """Write a graph next to newly saved weights of the same names and shapes."""
    require(IN_ONNX, "onnx")
    import onnx

    graph = onnx.load_model_from_string(model)
    _link_weights(graph, _find_all_tensors(folder))
    (folder / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))


def find_tensors(path: Path) -> dict[str, TensorLocation]:
    """Return the location of each tensor in a safetensors file, whose header is eight bytes of length, then JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    data = 8 + length
    locations: dict[str, TensorLocation] = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            start, end = tensor["data_offsets"]
            locations[name] = TensorLocation(tensor["dtype"], path.name, data + start, end - start)
    return locations


def _find_all_tensors(folder: Path) -> dict[str, TensorLocation]:
    return {name: location for path in weight_files(folder) for name, location in find_tensors(path).items()}


def _export(encoder: PreTrainedModel, layers: int) -> ModelProto:
    """Return an encoder's graph without traces of this machine; its tensors have the encoder's names."""
    ids, sizes = torch.zeros(SHAPE, dtype=torch.int64, device=encoder.device), {0: "rows", 1: "length"}
    try:
        with _silence_exporter():
            program = torch.onnx.export(
                StatesExporter(encoder, layers).eval(),
                (ids, torch.ones_like(ids)),
                input_names=["input_ids", "attention_mask"],
                output_names=state_names(layers),
                dynamic_shapes=(sizes, sizes),
                opset_version=OPSET,
                dynamo=True,
                optimize=False,  # folded weights would differ from the tensors in the safetensors file
                verbose=False,
            )
    except MemoryError:
        raise
    except Exception as error:  # the exporter's own errors are RuntimeErrors; what it traces raises any other
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]
        raise InputError(f"torch cannot export the encoder {type(encoder).__name__} to ONNX: {reason}") from None
    assert program is not None
    model = program.model_proto
    _strip_traces(model)
    _rename_tensors(model, {tensor.name: tensor.name.removeprefix("encoder.") for tensor in model.graph.initializer})
    return model


@contextlib.contextmanager
def _silence_exporter() -> Iterator[None]:
    """Suppress the progress output and warnings of the exporter and its imports."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _strip_traces(model: ModelProto) -> None:
    """Remove stack traces, which hold paths of this machine, and shapes that apply only to the traced rows."""
    graph = model.graph
    del graph.value_info[:]
    for element in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del element.metadata_props[:]
        element.doc_string = ""


def _rename_tensors(model: ModelProto, names: dict[str, str]) -> None:
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def _link_weights(model: ModelProto, locations: dict[str, TensorLocation]) -> None:
    """Make each initialiser that is in a safetensors file refer to its location there."""
    from onnx import TensorProto

    for tensor in model.graph.initializer:
        location = locations.get(tensor.name)
        if location is None:
            continue
        reference: dict[str, Any] = {"location": location.file, "offset": location.offset, "length": location.length}
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in reference.items():
            tensor.external_data.add(key=key, value=str(value))
