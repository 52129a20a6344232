"""int8 products in an ONNX graph, identical to those of `Int8Linear`.

ONNX Runtime's own dynamic quantisation (``quantize_dynamic``) uses one scale for all tokens of a batch, so that a
text's answer would depend on the rest of the batch. Here each token and each matrix row has its own scale, as in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cl.errors import InputError
from cl.models.int8 import INT8_MAX, MIN_SCALE

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

ZERO_POINT = 128
"""Zero point of the states, which are multiplied as uint8 because processors have instructions for that."""


def quantise_graph(model: ModelProto, matrices: set[str]) -> None:
    """Replace products with matrices and lookups in them by their int8 versions, in place.

    Args:
        model: an encoder's graph in floats.
        matrices: names of the initialisers to store in int8; each ``X.weight`` gets an ``X.scale``.

    Raises:
        InputError: a matrix is used in another operation.
    """
    builder, nodes = _Int8NodeBuilder(), []
    transposed: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "Transpose" and node.input[0] in matrices:
            transposed[node.output[0]] = node.input[0]
            nodes.append(node)
        elif node.op_type == "MatMul" and node.input[1] in transposed:
            nodes += builder.product(node, scale=_scale(transposed[node.input[1]]))
        elif node.op_type == "Gather" and node.input[0] in matrices:
            nodes += builder.gather(node, scale=_scale(node.input[0]))
        elif used := [name for name in node.input if name in matrices or name in transposed]:
            raise InputError(
                f"int8 ONNX supports products and embeddings; {used[0]} is used by {node.op_type}: leave out --int8"
            )
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _change_tensors(model, matrices)


def _scale(matrix: str) -> str:
    return f"{matrix.removesuffix('.weight')}.scale"


class _Int8NodeBuilder:
    """Builds the nodes; states that several matrices read are rounded once."""

    def __init__(self) -> None:
        self._rounded: set[str] = set()

    def product(self, node: NodeProto, *, scale: str) -> list[NodeProto]:
        """Return nodes for ``x W^T`` with x (..., inputs) rounded token by token."""
        states, transposed, out = node.input[0], node.input[1], node.output[0]
        rounding = [] if states in self._rounded else self._round(states)
        self._rounded.add(states)
        return [
            *rounding,
            _node("MatMulInteger", [f"{states}.whole", transposed, "int8.zero"], f"{out}.whole"),
            _node("Cast", [f"{out}.whole"], f"{out}.sum", to=1),
            _node("Mul", [f"{out}.sum", f"{states}.scale"], f"{out}.scaled"),
            _node("Mul", [f"{out}.scaled", scale], out),
        ]

    def gather(self, node: NodeProto, *, scale: str) -> list[NodeProto]:
        """Return nodes that look up rows of a table (..., width)."""
        table, ids, out = node.input[0], node.input[1], node.output[0]
        return [
            _node("Gather", [table, ids], f"{out}.whole"),
            _node("Cast", [f"{out}.whole"], f"{out}.float", to=1),
            _node("Gather", [scale, ids], f"{out}.scale"),
            _node("Unsqueeze", [f"{out}.scale", "int8.last"], f"{out}.scales"),
            _node("Mul", [f"{out}.float", f"{out}.scales"], out),
        ]

    def _round(self, states: str) -> list[NodeProto]:
        return [
            _node("Abs", [states], f"{states}.size"),
            _node("ReduceMax", [f"{states}.size", "int8.last"], f"{states}.most", keepdims=1),
            _node("Max", [f"{states}.most", "int8.tiny"], f"{states}.bound"),
            _node("Mul", [f"{states}.bound", "int8.step"], f"{states}.scale"),
            _node("Div", [states, f"{states}.scale"], f"{states}.steps"),
            _node("Round", [f"{states}.steps"], f"{states}.rounded"),
            _node("Add", [f"{states}.rounded", "int8.shift"], f"{states}.shifted"),
            _node("Cast", [f"{states}.shifted"], f"{states}.whole", to=2),
        ]


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    return helper.make_node(kind, inputs, [output], name=f"{output}:{kind}", **attributes)


def _change_tensors(model: ModelProto, matrices: set[str]) -> None:
    """Declare matrices as int8 with a scale for each row, and add the constants."""
    from onnx import TensorProto, numpy_helper

    tensors = model.graph.initializer
    for tensor in [matrix for matrix in tensors if matrix.name in matrices]:
        tensor.data_type = TensorProto.INT8
        tensor.ClearField("raw_data")
        tensors.add(name=_scale(tensor.name), data_type=TensorProto.FLOAT, dims=tensor.dims[:1])
    constants: dict[str, np.ndarray] = {
        "int8.zero": np.array(ZERO_POINT, np.uint8),
        "int8.shift": np.array(ZERO_POINT, np.float32),
        "int8.step": np.array(1 / INT8_MAX, np.float32),
        "int8.tiny": np.array(MIN_SCALE, np.float32),
        "int8.last": np.array([-1], np.int64),
    }
    tensors.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
