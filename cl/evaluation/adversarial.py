"""What an adversary could do who may move each word a little in the space of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from cl.models.batching import Batch, batch_by_length, collate
from cl.models.learner import Learner
from cl.tasks import IGNORED

AT_ONCE = 16
"""Rows in one pass: a gradient needs every layer's states, as in training, and long texts have many."""


def measure_adversarial(learner: Learner, rows: pd.DataFrame, *, epsilon: float) -> list[Any]:
    """Return a learner's answers to rows whose word embeddings were moved against it, in the rows' order.

    One step of the fast gradient sign method (Goodfellow et al., 2015, section 4), on embeddings and not on letters
    (Miyato et al., 2017, section 3): each word's embedding e becomes e + epsilon |e| / sqrt(width) sign(gradient of the
    loss), so that it moves by ``epsilon`` of its own length. The loss is that of the true target; a row whose target
    the learner does not know has no gradient, and stays. Of a version in ONNX it is torch that is asked, with the same
    weights: a graph has no gradient, and takes no embeddings.
    """
    learner = replace(learner, graph=None)
    learner.eval_mode()
    encoded, column = learner.encode(rows), learner.task.columns[0]
    words = [len(value) for value in rows[column]]
    answers: list[Any] = [None] * len(rows)
    for indices in batch_by_length([len(one.input_ids) for one in encoded], AT_ONCE):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        with torch.no_grad(), _moved(learner, _against(learner, batch, epsilon)):
            logits = learner.logits(batch.input_ids, batch.mask)
        probabilities = logits.float().softmax(-1).cpu().numpy().reshape(len(indices), -1, logits.shape[-1])
        for at, row in enumerate(indices):
            answers[row] = learner.task.decode(probabilities[at], encoded[row], words[row], learner.labels).value
    return answers


@dataclass
class _Read:
    """What the encoder's table of word embeddings has answered."""

    embeddings: torch.Tensor | None = None


def _against(learner: Learner, batch: Batch, epsilon: float) -> torch.Tensor:
    """Return how each word's embedding (rows, length, width) is to be moved so that the loss grows."""
    with torch.enable_grad(), _read(learner) as read:
        logits = learner.logits(batch.input_ids, batch.mask)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, -2).float(), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        assert read.embeddings is not None
        (gradient,) = torch.autograd.grad(loss, read.embeddings)
    lengths = read.embeddings.detach().norm(dim=-1, keepdim=True)
    return epsilon * lengths / learner.width**0.5 * gradient.sign()


@contextmanager
def _read(learner: Learner) -> Iterator[_Read]:
    """Within this block, the word embeddings are kept, and a gradient reaches them."""
    read = _Read()

    def keep(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        read.embeddings = output.detach().requires_grad_()
        return read.embeddings

    handle = learner.encoder.get_input_embeddings().register_forward_hook(keep)
    try:
        yield read
    finally:
        handle.remove()


@contextmanager
def _moved(learner: Learner, by: torch.Tensor) -> Iterator[None]:
    """Within this block, the word embeddings are moved."""
    handle = learner.encoder.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output + by)
    try:
        yield
    finally:
        handle.remove()
