"""A linear head to go on from, where the one before was solved for and cannot be trained on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch

from cl.models.batching import batch_by_length, collate
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.tasks import IGNORED

BATCH_SIZE = 64
MOST_ROWS = 4_000
"""Rows that the head is fitted on, at most: it is a start, not the end."""
DECAY = 1e-3
"""Weight of the squared length of the weights, for features whose root mean square is one."""
ITERATIONS = 100


def with_linear_head(learner: Learner) -> Learner:
    """Return the learner with a linear head in place of the one that was solved for: its labels, no weights yet."""
    head = LinearHead(learner.width, [len(learner.labels)], learner.settings.dropout)
    return replace(learner, head=head.to(learner.device))


def warm_start_head(learner: Learner, rows: pd.DataFrame) -> None:
    """Fit a linear head by logistic regression on features of rows, in place; the encoder does not move.

    A head at random would tear the encoder away from what it knows before it has learnt anything itself (Kumar et al.,
    2022, "Fine-tuning can distort pretrained features", section 4: linear probing, then fine-tuning).
    """
    assert isinstance(learner.head, LinearHead)
    features, targets = _positions(learner, rows)
    if not len(targets):
        return
    scale = features.square().mean().sqrt().clamp(min=1e-6)
    inputs = features / scale
    weight = torch.zeros(features.shape[1], len(learner.labels), requires_grad=True)
    bias = torch.zeros(len(learner.labels), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weight + bias, targets) + DECAY / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    _take(learner.head, weight.detach() / scale, bias.detach())


@torch.no_grad()
def _take(head: LinearHead, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Put weights (width, labels) and biases into the head's blocks."""
    parts = zip(head.blocks, weight.split(head.sizes, dim=1), bias.split(head.sizes), strict=True)
    for block, own, shift in parts:
        block.weight.copy_(own.T)  # type: ignore[operator, union-attr]
        block.bias.copy_(shift)  # type: ignore[operator, union-attr]


@torch.inference_mode()
def _states(learner: Learner, rows: pd.DataFrame) -> tuple[list[torch.Tensor], list[int]]:
    learner.eval_mode()
    encoded, found, targets = learner.encode(rows), [], list[int]()
    for indices in batch_by_length([len(one.input_ids) for one in encoded], BATCH_SIZE):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        states = learner.task.features(learner.states(batch.input_ids, batch.mask)[-1], batch.mask).float().cpu()
        for at, row in enumerate(indices):
            known = [place for place, target in enumerate(encoded[row].targets) if target != IGNORED]
            found.append(states[at].reshape(-1, learner.width)[known])
            targets += [encoded[row].targets[place] for place in known]
    return found, targets


def _positions(learner: Learner, rows: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (positions, width) and targets of every position that has one."""
    found, targets = _states(learner, rows)
    empty = torch.zeros(0, learner.width)
    return torch.cat([empty, *found]).clone(), torch.tensor(targets, dtype=torch.int64)
