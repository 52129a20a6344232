"""Replace a head in closed form, which cannot be trained further, by a fitted linear head."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch

from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.models.logistic_regression import fit_logistic
from cl.models.weights import weights_of_positions
from cl.tasks import IGNORED, known_positions

BATCH_SIZE = 64
MAX_ROWS = 4_000
"""The most rows that the head is fitted on: training continues from there."""
DECAY = 1e-3
"""L2 penalty on the weights, for features scaled to a root mean square of one."""
PULL = 1_000.0
"""The same for a head from which the encoder shall learn, divided by the rows."""


def with_linear_head(learner: Learner) -> Learner:
    """Return the learner with an unfitted linear head in place of its closed-form head, for the same labels."""
    head = LinearHead(learner.feature_width, [len(learner.labels)], learner.settings.dropout)
    return replace(learner, head=head.to(learner.device))


def warm_start_head(learner: Learner, rows: pd.DataFrame, *, undecided: bool = False) -> None:
    """Fit a linear head by logistic regression on features of rows, in place; the encoder is frozen.

    Training from a random head would distort the encoder's features before the head has learned anything (Kumar et
    al., 2022, "Fine-tuning can distort pretrained features", section 4: linear probing, then fine-tuning).

    Args:
        learner: has an unfitted linear head.
        rows: to fit it on.
        undecided: keep the head from answering a few hundred rows without an error, which would leave the encoder
            nothing to learn from.
    """
    assert isinstance(learner.head, LinearHead)
    features, targets, weights = _labelled_positions(learner, rows)
    if not len(targets):
        return
    decay = max(DECAY, PULL / len(targets)) if undecided else DECAY
    weight, bias = fit_logistic(features, targets, len(learner.labels), decay=decay, weights=weights)
    _set_weights(learner.head, weight, bias)


@torch.no_grad()
def _set_weights(head: LinearHead, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Copy weights (width, labels) and biases into the head's blocks."""
    parts = zip(head.blocks, weight.split(head.sizes, dim=1), bias.split(head.sizes), strict=True)
    for block, own, shift in parts:
        block.weight.copy_(own.T)  # type: ignore[operator]
        block.bias.copy_(shift)  # type: ignore[operator]


@torch.inference_mode()
def _collect_features(
    learner: Learner, rows: pd.DataFrame
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor | None]:
    encoded, features, order, numbers = learner.encode(rows), [], list[int](), list[int]()
    for batch, states in learner.run(encoded, batch_size=BATCH_SIZE):
        last = learner.features(states[-1], batch).float().cpu()
        for index, row in enumerate(batch.rows):
            known = [position for position, target in enumerate(encoded[row].targets) if target != IGNORED]
            features.append(last[index].reshape(-1, learner.feature_width)[known])
            order.append(row)
            numbers += [row] * len(known)
    targets = learner.task.flat_targets([encoded[row] for row in order])
    return (
        features,
        targets[known_positions(targets)],
        weights_of_positions(rows, torch.tensor(numbers, dtype=torch.int64)),
    )


def _labelled_positions(learner: Learner, rows: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return features (positions, width), targets and weights of all positions with a target."""
    features, targets, weights = _collect_features(learner, rows)
    empty = torch.zeros(0, learner.feature_width)
    return torch.cat([empty, *features]).clone(), targets.clone(), weights
