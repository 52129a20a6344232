"""Run an encoder as an ONNX graph through ONNX Runtime, with the weights of the safetensors files next to it.

The graph refers to each tensor by its offset in its file, so that no weight is stored twice and serving uses the same
weights as training. ONNX Runtime opens no file outside the graph's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cl.errors import StoreError
from cl.extras import require

GRAPH = "model.onnx"
IN_ONNX = "a version in ONNX"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
"""What writes a graph; reading it needs ONNX Runtime alone."""


@dataclass(frozen=True)
class Graph:
    """A loaded graph: any number of rows of any length in, the states of its last ``layers`` layers out."""

    model: bytes
    session: Any
    layers: int

    def states(self, input_ids: torch.Tensor, mask: torch.Tensor, layers: int) -> list[torch.Tensor]:
        """Return the states (rows, length, width) of the last layers, last layer last, on the tokens' device."""
        assert layers <= self.layers, f"the graph gives the states of {self.layers} layers"
        wanted = state_names(self.layers)[-layers:]
        inputs = {"input_ids": input_ids.cpu().numpy(), "attention_mask": mask.cpu().numpy()}
        return [torch.from_numpy(states).to(input_ids.device) for states in self.session.run(wanted, inputs)]


def state_names(layers: int) -> list[str]:
    """Return the names of a graph's outputs, last layer last."""
    return [f"states_{index}" for index in range(layers)]


def has_graph(encoder: Path) -> bool:
    """Return whether an encoder's folder holds its graph."""
    return (encoder / GRAPH).exists()


def load_graph(encoder: Path) -> Graph:
    """Load the graph in an encoder's folder, to run on the CPU with as many threads as torch has.

    Raises:
        InputError: ONNX Runtime is not installed.
        StoreError: ONNX Runtime cannot read the graph.
    """
    require(IN_ONNX, "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a server waits most of the time
    # without VNNI, int8 products could overflow silently; this selects kernels that cannot
    options.add_session_config_entry("session.x64quantprecision", "1")
    path = encoder / GRAPH
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise StoreError(f"{path}: ONNX Runtime cannot read it: {str(error).strip().splitlines()[0]}") from None
    return Graph(path.read_bytes(), session, len(session.get_outputs()))
