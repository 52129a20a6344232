"""An encoder's tensors in one file, or in two: those that its tuning trains, and those that stay as they are.

A store on one machine keeps equal files once. What no update changes, word embeddings or the base under an adapter, is
most of a small encoder: in a file of its own it lies there once for all versions. transformers reads both files by
their index, as it reads the parts of a large model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from cl.models.tunings import Tuning

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FROZEN, TRAINED = "frozen.safetensors", "trained.safetensors"
FROZEN_BYTES = 1024 * 1024
"""A smaller frozen part stays in one file with the rest."""


def frozen_tensors(tuning: Tuning, encoder: PreTrainedModel) -> set[str]:
    """Return the names of the encoder's parameters that the tuning does not train."""
    trained = {id(parameter) for parameter in tuning.moving(encoder)}
    return {name for name, parameter in encoder.named_parameters() if id(parameter) not in trained}


def write_tensors(tensors: Mapping[str, torch.Tensor], frozen: Set[str], folder: Path) -> None:
    """Write tensors to a folder, the frozen ones to a file of their own if that is worth it.

    Args:
        tensors: by name, contiguous, on the CPU.
        frozen: names, of which some may not be among the tensors.
        folder: of the encoder; files of these names are replaced.
    """
    groups = {
        FROZEN: {name: tensor for name, tensor in tensors.items() if name in frozen},
        TRAINED: {name: tensor for name, tensor in tensors.items() if name not in frozen},
    }
    if not groups[TRAINED] or _size(groups[FROZEN]) < FROZEN_BYTES:
        save_file(dict(tensors), folder / WEIGHTS)
        for name in (INDEX, *groups):
            (folder / name).unlink(missing_ok=True)
        return
    for file, group in groups.items():
        save_file(group, folder / file, metadata={"format": "pt"})
    files = {name: file for file, group in groups.items() for name in group}
    index = {"metadata": {"total_size": _size(tensors)}, "weight_map": files}
    (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True), encoding="utf-8")
    (folder / WEIGHTS).unlink(missing_ok=True)


def split_tensors(folder: Path, frozen: Set[str]) -> None:
    """Write what transformers has saved in one file as `write_tensors` does; files of several parts stay."""
    if (folder / WEIGHTS).exists():
        tensors = load_file(folder / WEIGHTS)
        if _size({name: tensor for name, tensor in tensors.items() if name in frozen}) >= FROZEN_BYTES:
            write_tensors(tensors, frozen, folder)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read an encoder's tensors from one file or from several."""
    return {name: tensor for path in weight_files(folder) for name, tensor in load_file(path).items()}


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold an encoder's tensors: one, or those that its index names.

    Raises:
        ValueError: the index names a file outside the folder.
    """
    if not (folder / INDEX).exists():
        return [folder / WEIGHTS]
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    names = sorted(set(index["weight_map"].values()))
    for name in names:
        if name != Path(name).name:
            raise ValueError(f"{INDEX} names {name}, which is outside the encoder's folder")
    return [folder / name for name in names]


def _size(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
