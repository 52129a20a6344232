"""The cost of an update: encoder passes, memory and bytes kept."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from cl.models.unpadded import rows_in_pass


@dataclass
class Passes:
    """Rows that passed through any encoder; backward: those that needed gradients."""

    forward: int = 0
    backward: int = 0


@contextlib.contextmanager
def count_passes() -> Iterator[Passes]:
    """Count the rows that pass through transformers models; nested models count once."""
    passes, depth = Passes(), 0

    def enter(module: nn.Module, inputs: object) -> None:
        nonlocal depth
        depth += isinstance(module, PreTrainedModel)

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal depth
        if isinstance(module, PreTrainedModel):
            depth -= 1
            states = getattr(output, "last_hidden_state", None)
            if depth == 0 and states is not None:
                rows = rows_in_pass(states)
                passes.forward += rows
                passes.backward += rows * (torch.is_grad_enabled() and states.requires_grad)

    hooks = [
        nn.modules.module.register_module_forward_pre_hook(enter),
        nn.modules.module.register_module_forward_hook(leave),
    ]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def peak_memory_mb() -> float:
    """Return the peak memory of this process so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1024)


def peak_gpu_memory_mb() -> float | None:
    """Return the peak GPU memory of this process's tensors so far; None: there is no GPU."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; 0 when there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
