"""Measure robustness to an adversary that slightly perturbs each word embedding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from cl.models.learner import Learner
from cl.tasks import Batch

ROWS_AT_ONCE = 16
"""Rows in one pass: as in training, a gradient needs the states of every layer, which are large for long texts."""


def measure_adversarial(learner: Learner, rows: pd.DataFrame, *, epsilon: float) -> list[Any]:
    """Return a learner's answers to rows with adversarially perturbed word embeddings, in the rows' order.

    One step of the fast gradient sign method (Goodfellow et al., 2015, section 4), on embeddings and not on letters
    (Miyato et al., 2017, section 3): each word's embedding e becomes e + epsilon |e| / sqrt(width) sign(gradient of the
    loss), a shift by ``epsilon`` of its own length. The loss is that of the true target; a row whose target the learner
    does not know has no gradient and is not perturbed. For a version in ONNX, torch is used with the same weights: a
    graph has no gradients and does not accept embeddings.
    """
    learner = replace(learner, graph=None)
    learner.eval_mode()
    encoded = learner.encode(rows)
    answers: list[Any] = [None] * len(rows)
    for batch in learner.batches(encoded, ROWS_AT_ONCE):
        with torch.no_grad(), _perturbed(learner, _perturbation(learner, batch, epsilon)):
            logits = learner.logits(batch)
        probabilities = (
            learner.task.probabilities(logits.float()).cpu().numpy().reshape(len(batch.rows), -1, logits.shape[-1])
        )
        for position, row in enumerate(batch.rows):
            answers[row] = learner.task.decode(probabilities[position], encoded[row], learner.targets).value
    return answers


@dataclass
class _WordEmbeddings:
    """The output of the encoder's word embedding layer in a forward pass."""

    embeddings: torch.Tensor | None = None


def _perturbation(learner: Learner, batch: Batch, epsilon: float) -> torch.Tensor:
    """Return the shift of each word embedding (rows, length, width) that increases the loss."""
    with torch.enable_grad(), _record_embeddings(learner) as words:
        loss = learner.task.loss(learner.logits(batch), batch.targets, summed=True)
        assert words.embeddings is not None
        (gradient,) = torch.autograd.grad(loss, words.embeddings)
    lengths = words.embeddings.detach().norm(dim=-1, keepdim=True)
    result: torch.Tensor = epsilon * lengths / learner.width**0.5 * gradient.sign()
    return result


@contextmanager
def _record_embeddings(learner: Learner) -> Iterator[_WordEmbeddings]:
    """Record the word embeddings in this block, and let gradients reach them."""
    words = _WordEmbeddings()

    def keep(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        words.embeddings = output.detach().requires_grad_()
        return words.embeddings

    handle = learner.encoder.get_input_embeddings().register_forward_hook(keep)
    try:
        yield words
    finally:
        handle.remove()


@contextmanager
def _perturbed(learner: Learner, shift: torch.Tensor) -> Iterator[None]:
    """Add a shift to the word embeddings in this block."""
    handle = learner.encoder.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output + shift)
    try:
        yield
    finally:
        handle.remove()
