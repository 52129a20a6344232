"""The number formats of a served version: how fast it answers in each, how often as in float32, and its size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from cl.serving.loaded import Loaded, load
from cl.serving.number_format import ServedPrecision

TOGETHER = (1, 8, 64)


def formats(folder: Path | None, texts: list[str], repeats: int) -> None:
    """Print a line for each format; their batches are timed in turn."""
    assert folder is not None
    names = [name for name in get_args(ServedPrecision) if name != "auto"]
    loaded = {name: load("1", folder, name) for name in names}
    labels = {name: [one.value for one in answered(version, texts)] for name, version in loaded.items()}
    took: dict[tuple[str, int], list[float]] = {}
    for repeat in range(repeats):
        for rows in TOGETHER:
            asked = [texts[(repeat * rows + at) % len(texts)] for at in range(rows)]
            for name, version in loaded.items():
                encoded = version.encode(asked)
                took.setdefault((name, rows), []).append(seconds(lambda: version.answer(asked, encoded)))  # noqa: B023
    print(f"{torch.get_num_threads()} thread(s); median milliseconds for {TOGETHER} texts together")
    for name, version in loaded.items():
        times = [f"{1000 * statistics.median(took[name, rows]):.1f}" for rows in TOGETHER]
        other = np.mean([own != exact for own, exact in zip(labels[name], labels["float32"], strict=True)])
        print(f"{name:<9} {' '.join(times):<20} other labels {other:.2%}  weights {size(version) / 1e6:.0f} MB")


def answered(version: Loaded, texts: list[str]) -> list:
    every = [texts[at : at + 64] for at in range(0, len(texts), 64)]
    return [one for some in every for one in version.answer(some, version.encode(some))]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def size(version: Loaded) -> int:
    """Return the bytes of the encoder's weights."""
    kept = version.learner.encoder.state_dict().values()
    tensors = [one for value in kept for one in (value if isinstance(value, tuple) else (value,))]
    return sum(one.numel() * one.element_size() for one in tensors if isinstance(one, torch.Tensor))
