"""The number formats of a served version: how fast it answers in each, how well, and its size.

How well is told by a ridge regression that is fitted to the embeddings in float32 and reads those of each format: the
versions of the bench have seen too little to be right often.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch

from cl.models.batching import collate
from cl.models.pooling import mean_pool
from cl.models.precision import ServedPrecision
from cl.serving.served_model import ServedModel, load_served_model

TOGETHER = (1, 8, 64)


def formats(folder: Path | None, train: pd.DataFrame, test: pd.DataFrame, repeats: int) -> None:
    """Print a line for each format; their batches are timed in turn."""
    assert folder is not None
    names = [name for name in get_args(ServedPrecision) if name != "auto"]
    loaded = {name: load_served_model("1", folder, name) for name in names}
    labels = sorted(train["label"].unique())
    wanted = np.eye(len(labels))[np.searchsorted(labels, train["label"])]
    seen = embedded(loaded["float32"], train["text"].tolist())
    weights = np.linalg.solve(seen.T @ seen + np.eye(seen.shape[1]), seen.T @ wanted)
    answers = {name: (embedded(one, test["text"].tolist()) @ weights).argmax(1) for name, one in loaded.items()}
    truth = np.searchsorted(labels, test["label"])
    took = timed(loaded, test["text"].tolist(), repeats)
    print(f"{torch.get_num_threads()} thread(s); median milliseconds for {TOGETHER} texts together")
    for name, version in loaded.items():
        times = [f"{1000 * statistics.median(took[name, rows]):.1f}" for rows in TOGETHER]
        right, other = (answers[name] == truth).mean(), (answers[name] != answers["float32"]).mean()
        told = f"right {right:.2%}, otherwise than float32 {other:.2%}, weights {size(version) / 1e6:.0f} MB"
        print(f"{name:<9} {' '.join(times):<20} {told}")


def timed(loaded: dict[str, ServedModel], texts: list[str], repeats: int) -> dict[tuple[str, int], list[float]]:
    took: dict[tuple[str, int], list[float]] = {}
    for repeat in range(repeats):
        for rows in TOGETHER:
            asked = [texts[(repeat * rows + at) % len(texts)] for at in range(rows)]
            for name, version in loaded.items():
                encoded = version.encode(asked)
                took.setdefault((name, rows), []).append(seconds(lambda: version.answer(asked, encoded)))  # noqa: B023
    return took


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@torch.inference_mode()
def embedded(version: ServedModel, texts: list[str]) -> np.ndarray:
    """Return mean-pooled states of length 1, and a constant."""
    learner, found = version.learner, []
    for at in range(0, len(texts), 64):
        encoded = version.encode(texts[at : at + 64])
        rows = list(range(len(encoded)))
        batch = collate(learner.task, encoded, rows, learner.tokenizer.pad_token_id, learner.device)
        pooled = mean_pool(learner.states(batch.input_ids, batch.mask)[-1].float(), batch.mask).numpy()
        found.append(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    every = np.concatenate(found).astype(float)
    return np.hstack([every, np.ones((len(every), 1))])


def size(version: ServedModel) -> int:
    """Return the bytes of the encoder's weights."""
    return sum(one.numel() * one.element_size() for one in version.learner.encoder.state_dict().values())
