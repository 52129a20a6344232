"""An encoder as an ONNX graph that ONNX Runtime computes; its weights are those of the safetensors beside it.

The graph refers to each tensor by its place in that file, so that no weight is written twice, and what is answered
with is what is learnt on. ONNX Runtime opens no file outside the folder that the graph lies in.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cl.errors import InputError, StoreError

GRAPH = "model.onnx"
WEIGHTS = "model.safetensors"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Graph:
    """A graph that is loaded: rows of any number and length in, the states of its last ``layers`` layers out."""

    model: bytes
    session: Any
    layers: int

    def states(self, input_ids: torch.Tensor, mask: torch.Tensor, layers: int) -> list[torch.Tensor]:
        """Return the states (rows, length, width) of the last layers, the last one last, where the tokens are."""
        assert layers <= self.layers, f"the graph gives the states of {self.layers} layers"
        wanted = state_names(self.layers)[-layers:]
        given = {"input_ids": input_ids.cpu().numpy(), "attention_mask": mask.cpu().numpy()}
        return [torch.from_numpy(one).to(input_ids.device) for one in self.session.run(wanted, given)]


def state_names(layers: int) -> list[str]:
    """Return the names of a graph's outputs, the last layer last."""
    return [f"states_{at}" for at in range(layers)]


def has_graph(encoder: Path) -> bool:
    """Tell whether a folder with an encoder holds a graph of it."""
    return (encoder / GRAPH).exists()


def load_graph(encoder: Path) -> Graph:
    """Open the graph in an encoder's folder, to be computed on the CPU by as many threads as torch has.

    Raises:
        InputError: ONNX Runtime is not installed.
        StoreError: ONNX Runtime cannot read it.
    """
    check_installed("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a server waits most of the time
    # without VNNI, products of whole numbers could overflow in silence; this takes kernels that cannot
    options.add_session_config_entry("session.x64quantprecision", "1")
    path = encoder / GRAPH
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise StoreError(f"{path}: ONNX Runtime cannot read it: {str(error).strip().splitlines()[0]}") from None
    return Graph(path.read_bytes(), session, len(session.get_outputs()))


def check_installed(*packages: str) -> None:
    """Return if packages are there.

    Raises:
        InputError: one is missing; the message says how to get it.
    """
    missing = [one for one in packages or PACKAGES if importlib.util.find_spec(one) is None]
    if missing:
        raise InputError(f"a version in ONNX needs {', '.join(missing)}: pip install 'perennial[onnx]'")
