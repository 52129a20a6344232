"""The training loop: new and recalled rows together, penalties added, the best epoch kept."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import pandas as pd
import torch
from tqdm.auto import tqdm

from cl.config import TrainingSettings
from cl.errors import DivergedError
from cl.strategies import Lesson, State, Strategy
from cl.tasks import Encoded
from cl.training.batching import collate, shuffled
from cl.training.inference import answer, token_loss
from cl.training.learner import Learner, freeze
from cl.training.precision import autocast

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """What a run of the loop did."""

    epochs: int
    steps: int
    rows_recalled: int
    seconds: float
    validation_score: float
    losses: list[float]


def fit(
    learner: Learner,
    lesson: Lesson,
    validation: pd.DataFrame,
    strategies: dict[Strategy, State],
    settings: TrainingSettings,
) -> Fit:
    """Train a learner in place and leave it with the weights of its best epoch.

    Args:
        learner: knows all labels of the rows already.
        lesson: the new rows, and a way to the past.
        validation: rows that decide which epoch is best and when to stop; may be empty.
        strategies: each with the state it brought from the last experience, in order.
        settings: epochs, rates, precision.

    Raises:
        DivergedError: a loss was not finite.
    """
    started = time.monotonic()
    freeze(learner)
    tokens = TokenCache(learner)
    optimiser = make_optimiser(learner, settings)
    steps_an_epoch = math.ceil(len(_epoch_rows(lesson, strategies)) / settings.batch_size)
    schedule = warm_up_then_decay(optimiser, steps_an_epoch * settings.epochs, settings.warmup)
    best = Best(learner)
    losses, steps, recalled = [], 0, 0
    progress = tqdm(total=steps_an_epoch * settings.epochs, desc="training", unit="step", disable=None, leave=False)
    for epoch in range(settings.epochs):
        rows = _epoch_rows(lesson, strategies)
        recalled += len(rows) - len(lesson.rows)
        encoded = tokens.encode(rows)
        learner.train_mode()
        total = 0.0
        for indices in shuffled([len(one.input_ids) for one in encoded], settings.batch_size, lesson.rng):
            loss = train_step(learner, encoded, indices, strategies, optimiser, settings)
            schedule.step()
            total += loss * len(indices)
            steps += 1
            progress.update()
        losses.append(total / len(rows))
        best.offer(epoch, *_validate(learner, validation, losses[-1]))
        log.info("epoch %d: loss %.4f, validation %.4f", epoch + 1, losses[-1], best.latest)
        if epoch - best.epoch >= settings.patience:
            break
    progress.close()
    best.restore()
    return Fit(len(losses), steps, recalled, time.monotonic() - started, best.score, losses)


def train_step(
    learner: Learner,
    encoded: list[Encoded],
    indices: list[int],
    strategies: dict[Strategy, State],
    optimiser: torch.optim.Optimizer,
    settings: TrainingSettings,
) -> float:
    """Take one optimiser step on the rows at ``indices`` and return the loss.

    Raises:
        DivergedError: the loss is not finite; no step is taken.
    """
    batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
    with autocast(settings.precision, learner.device):
        loss = token_loss(learner.logits(batch.input_ids, batch.mask), batch.targets)
    for strategy, state in strategies.items():
        penalty = strategy.penalty(state, learner)
        if penalty is not None:
            loss = loss + penalty
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(
            f"training stopped: the loss is {value}; training.learning_rate {settings.learning_rate:g} "
            f"(head {settings.head_learning_rate:g}) is probably too high"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for _, p in learner.parameters()], settings.clip_norm)
    optimiser.step()
    return value


def make_optimiser(learner: Learner, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return fused AdamW over the trainable parameters: the head at its own rate, no decay on vectors."""
    groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in learner.parameters():
        groups.setdefault((name.split(".")[0], parameter.ndim > 1), []).append(parameter)
    rates = {"encoder": settings.learning_rate, "head": settings.head_learning_rate}
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": rates[part],
                "weight_decay": settings.weight_decay if matrix else 0.0,
            }
            for (part, matrix), parameters in groups.items()
        ],
        fused=True,
    )


def warm_up_then_decay(
    optimiser: torch.optim.Optimizer, steps: int, warmup: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule that rises linearly over the first share of steps and falls linearly to zero."""
    rise = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        return min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


class TokenCache:
    """Tokenises each row once in a run, however often it comes back."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._known: dict[str, Encoded] = {}

    def encode(self, rows: pd.DataFrame) -> list[Encoded]:
        """Return the rows' tokens, from the cache where they are in it."""
        fresh = rows[~rows["id"].isin(self._known)].drop_duplicates("id")
        self._known.update(zip(fresh["id"], self._learner.encode(fresh), strict=True))
        return [self._known[row] for row in rows["id"]]


class Best:
    """Keeps a copy of the trainable weights at the best validation so far."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._weights: dict[str, torch.Tensor] = {}
        self._key = (-math.inf, -math.inf)
        self.epoch = 0
        self.score = 0.0
        self.latest = 0.0

    def offer(self, epoch: int, score: float, loss: float) -> None:
        """Take the weights if the score is better, or as good with a lower loss."""
        self.latest = score
        if (score, -loss) > self._key:
            self._key, self.epoch, self.score = (score, -loss), epoch, score
            self._weights = {name: p.detach().clone() for name, p in self._learner.parameters()}

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back."""
        for name, parameter in self._learner.parameters():
            parameter.copy_(self._weights[name])
        self._learner.eval_mode()


def _epoch_rows(lesson: Lesson, strategies: dict[Strategy, State]) -> pd.DataFrame:
    recalled = [strategy.recall(state, lesson) for strategy, state in strategies.items()]
    return pd.concat([lesson.rows, *(rows for rows in recalled if rows is not None)], ignore_index=True)


def _validate(learner: Learner, rows: pd.DataFrame, training_loss: float) -> tuple[float, float]:
    """Return score and loss on validation rows; without any, the training loss decides."""
    if rows.empty:
        return 0.0, training_loss
    answers = answer(learner, rows)
    return learner.task.score(rows, answers.values)[learner.task.metric], answers.loss
