"""Measure robustness to an adversary that slightly perturbs each word embedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from cl.models.learner import Learner
from cl.models.word_embeddings import recorded_embeddings, shifted_embeddings
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
        shift = _perturbation(learner, batch, epsilon)
        with torch.no_grad(), shifted_embeddings(learner.encoder, shift):
            logits = learner.logits(batch)
        probabilities = (
            learner.task.probabilities(logits.float()).cpu().numpy().reshape(len(batch.rows), -1, logits.shape[-1])
        )
        for position, row in enumerate(batch.rows):
            answers[row] = learner.task.decode(probabilities[position], encoded[row], learner.targets).value
    return answers


def _perturbation(learner: Learner, batch: Batch, epsilon: float) -> torch.Tensor:
    """Return the shift of each word embedding (rows, length, width) that increases the loss."""
    with torch.enable_grad(), recorded_embeddings(learner.encoder) as words:
        loss = learner.task.loss(learner.logits(batch), batch.targets, summed=True)
        (gradient,) = torch.autograd.grad(loss, words.values)
    lengths = words.values.detach().norm(dim=-1, keepdim=True)
    result: torch.Tensor = epsilon * lengths / learner.width**0.5 * gradient.sign()
    return result
