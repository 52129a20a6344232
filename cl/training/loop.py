"""The training loop: train on new and recalled rows, add the strategies' penalties, keep the best epoch."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl.config import TrainingSettings
from cl.errors import DivergedError, InputError
from cl.models.batching import batch_by_cost, collate, shuffled_batches
from cl.models.blocks import in_blocks
from cl.models.build import freeze_all_but_tuned
from cl.models.half_weights import HalfWeights
from cl.models.inference import choose_thresholds, score_rows
from cl.models.learner import Learner
from cl.models.precision import half_weights
from cl.models.token_cache import TokenCache
from cl.models.weights import relative, row_weights
from cl.process.progress import Meter, meter
from cl.tasks import IGNORED, Batch, Encoded
from cl.training.augmentation import Augmentation
from cl.training.checkpoint import BestEpoch, TrainingRun, restore_checkpoint, save_checkpoint
from cl.training.forward import take_forward_pass
from cl.training.optimiser import make_optimiser, make_schedule, step_clipped
from cl.training.strategies import State, Strategy, TrainingData, Update

log = logging.getLogger(__name__)
Strategies = list[tuple[Strategy, Update]]


@dataclass(frozen=True)
class Fit:
    """The result of one run of the loop."""

    epochs: int
    steps: int
    rows_learnt: int
    rows_recalled: int
    seconds: float
    validation_score: float | None
    """None: the validation rows cannot decide one, or there are none."""
    losses: list[float]
    validation_scores: list[float | None] = field(default_factory=list)
    """Of each epoch; none if there are no validation rows to judge epochs by."""


NO_ROWS = (
    "there is no row to train on: all rows of the new experiences are held out for validation and test, or have weight "
    "0; add more rows, or lower data.split"
)


@dataclass(frozen=True)
class UpdateOutcome:
    """What an update leaves: the learner, how it was trained, and the state of each method by its name."""

    learner: Learner
    fit: Fit
    states: dict[str, State]


def run_update(
    learner: Learner,
    lesson: TrainingData,
    strategies: Strategies,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
) -> UpdateOutcome:
    """Train a learner in place on one update by gradient descent.

    Takes the arguments and raises the errors of `fit`.

    Raises:
        InputError: there is no new row to train on.
    """
    if lesson.rows.empty:
        raise InputError(NO_ROWS)
    freeze_all_but_tuned(learner)
    for strategy, update in strategies:
        strategy.begin(update)
    result, ended = fit(learner, lesson, strategies, settings, checkpoint=checkpoint), time.monotonic()
    in_turn = sorted(strategies, key=lambda pair: not pair[0].ends_first)
    states = {strategy.name: strategy.end(update) for strategy, update in in_turn}
    learner, result = judge(learner, lesson, result, settings, since=ended)
    return UpdateOutcome(learner, result, states)


def judge(
    learner: Learner,
    lesson: TrainingData,
    result: Fit,
    settings: TrainingSettings,
    *,
    since: float,
    logits: list[torch.Tensor] | None = None,
) -> tuple[Learner, Fit]:
    """Return the final learner with its thresholds, and the result with its score and the seconds since the loop ended.

    Args:
        learner: after the update.
        lesson: has the validation rows.
        result: of the loop.
        settings: precision.
        since: when the loop ended, by `time.monotonic`.
        logits: of the validation rows, if others than the learner's own count.

    Raises:
        DivergedError: the validation loss is not finite.
    """
    learner.eval_mode()
    learner = choose_thresholds(learner, lesson.validation, precision=settings.precision, logits=logits)
    with _report_cost(since - result.seconds, lambda: result.rows_learnt):
        score, _ = _validate(learner, lesson.validation, 0.0, settings, logits=logits)
    return learner, replace(result, validation_score=score, seconds=result.seconds + time.monotonic() - since)


def fit(
    learner: Learner,
    lesson: TrainingData,
    strategies: Strategies,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
) -> Fit:
    """Train a learner in place and restore the weights of its best epoch.

    Args:
        learner: has all labels of the rows already, and marks its trainable parameters.
        lesson: the new rows, access to past rows, and the validation rows that decide which epoch is best.
        strategies: each with its view of this update, in order; `begin` has been called.
        settings: epochs, learning rates, precision.
        checkpoint: folder for the state of this update; a run interrupted earlier resumes from it.

    Raises:
        InputError: the strategies choose no row to train on.
        DivergedError: a loss, a penalty or a weight was not finite.
    """
    started = time.monotonic()
    tokens = TokenCache(learner.encode)
    augmentation = Augmentation(settings.augment, learner) if settings.augment else None
    optimiser = make_optimiser(learner, settings)
    rows, _ = _epoch_rows(strategies, lesson)
    if rows.empty:
        raise InputError("there is no row to train on: the strategy chooses none; give its buffer more rows or bytes")
    most_steps = settings.steps or sys.maxsize
    expected = min(settings.epochs * _count_steps(learner, rows, tokens, settings), most_steps)
    schedule = make_schedule(optimiser, expected, settings)
    run = TrainingRun(
        learner, optimiser, schedule, lesson.rng, [update for _, update in strategies], BestEpoch(learner)
    )
    if checkpoint and restore_checkpoint(run, checkpoint):
        further = f" and {done} steps of the next" if (done := run.progress.epoch_steps) else ""
        log.info("resuming an interrupted run after epoch %d%s", run.progress.epochs, further)
    progress, best, halves = run.progress, run.best, half_weights(learner, settings.precision)
    with _report_cost(started, lambda: progress.learnt), meter(expected, "steps", done=progress.steps) as steps:
        while (
            progress.epochs < settings.epochs
            and progress.steps < most_steps
            and progress.epochs - best.epoch < settings.patience
        ):
            run.begin_epoch()
            rows, recalled = _epoch_rows(strategies, lesson)
            encoded = tokens.encode(rows)
            if augmentation:
                encoded = augmentation.encode(rows, encoded, lesson.rng)
            rows, encoded = in_blocks(learner, rows, encoded)
            progress.losses.append(
                train_epoch(run, strategies, encoded, rows, settings, steps, most_steps, halves, checkpoint)
            )
            progress.epochs += 1
            progress.recalled += recalled
            _check_weights(learner, settings)
            best.offer(progress.epochs, *_validate(learner, lesson.validation, progress.losses[-1], settings))
            if lesson.validation is not None and not lesson.validation.empty:
                progress.validation_scores.append(best.latest)
            score = "undecided" if best.latest is None else f"{best.latest:.4f}"
            log.info("epoch %d: loss %.4f, validation %s", progress.epochs, progress.losses[-1], score)
            if checkpoint:
                save_checkpoint(run, checkpoint, seconds=settings.checkpoint_seconds)
    best.restore()
    seconds = time.monotonic() - started
    return Fit(
        progress.epochs,
        progress.steps,
        progress.learnt,
        progress.recalled,
        seconds,
        best.score,
        progress.losses,
        progress.validation_scores,
    )


def train_epoch(
    run: TrainingRun,
    strategies: Strategies,
    encoded: list[Encoded],
    rows: pd.DataFrame,
    settings: TrainingSettings,
    steps: Meter,
    most_steps: int,
    halves: HalfWeights | None,
    checkpoint: Path | None = None,
) -> float:
    """Train on each row once, as far as the steps of the update allow, and return the mean loss.

    It goes on after the steps of this epoch that the run has taken already.
    """
    learner, ids, progress = run.learner, rows["id"].tolist(), run.progress
    weights = epoch_weights(rows, encoded)
    learner.train_mode()
    lengths = [len(row.input_ids) for row in encoded]
    batches = shuffled_batches(lengths, settings.batch_size, run.rng, tokens=settings.batch_tokens)
    in_steps = [batches[first : first + settings.accumulate] for first in range(0, len(batches), settings.accumulate)]
    run.go_on()
    for groups in in_steps[progress.epoch_steps : progress.epoch_steps + most_steps - progress.steps]:
        padding = learner.tokenizer.pad_token_id
        parts = [collate(learner.task, encoded, rows, padding, learner.device, weights=weights) for rows in groups]
        chosen = [[ids[index] for index in indices] for indices in groups]
        loss, count = (
            train_step(learner, parts, chosen, strategies, run.optimiser, settings, halves),
            sum(map(len, groups)),
        )
        run.schedule.step()
        progress.steps += 1
        progress.learnt += count
        progress.epoch_steps += 1
        progress.epoch_rows += count
        progress.epoch_loss += loss * count
        steps.advance()
        if checkpoint:
            save_checkpoint(run, checkpoint, seconds=settings.checkpoint_seconds)
    mean = progress.epoch_loss / progress.epoch_rows
    progress.epoch_steps, progress.epoch_rows, progress.epoch_loss = 0, 0, 0.0
    return mean


def epoch_weights(rows: pd.DataFrame, encoded: list[Encoded]) -> np.ndarray | None:
    """Return the factor of each row's loss in an epoch; None: every row counts once.

    The weights are divided by their mean over the epoch, not over a batch: with any size of batches, the mean of the
    losses is the weighted mean over the epoch's rows, and a row alone in its batch has its weight too.
    """
    weights = row_weights(rows)
    if weights is None:
        return None
    return relative(weights, np.array([sum(target != IGNORED for target in row.targets) for row in encoded], float))


def train_step(
    learner: Learner,
    batches: list[Batch],
    ids: list[list[str]],
    strategies: Strategies,
    optimiser: torch.optim.Optimizer,
    settings: TrainingSettings,
    halves: HalfWeights | None = None,
) -> float:
    """Take one optimiser step on batches of rows with these ids and return the loss; ``halves`` of `half_weights`.

    The loss of a batch, with its penalties, counts as its share of all targets: that of the task is the loss of all
    rows as one batch.

    Raises:
        DivergedError: the loss or a penalty is not finite; no step is taken.
    """
    optimiser.zero_grad(set_to_none=True)
    value, shares = 0.0, _shares_of_targets(batches)
    for batch, own, share in zip(batches, ids, shares, strict=True):
        step = take_forward_pass(
            learner,
            batch,
            own,
            settings,
            halves,
            watched=max((strategy.watched for strategy, _ in strategies), default=0),
            repeatable=any(strategy.perturbs for strategy, _ in strategies),
        )
        loss = learner.task.loss(step.logits, batch.targets, batch.weights)
        terms = {"the loss": loss}
        for strategy, update in strategies:
            penalty = strategy.penalty(update, step)
            if penalty is not None:
                terms[f"the penalty of strategy '{strategy.name}'"] = penalty
                loss = loss + penalty
        if not math.isfinite(part := float(loss.detach())):
            raise _first_diverged(terms, settings)
        value += part * share
        (loss if share == 1 else loss * share).backward()
    for strategy, update in strategies:
        strategy.adjust(update, step)
    step_clipped(optimiser, settings.clip_norm)
    for strategy, update in strategies:
        strategy.stepped(update)
    return value


def _shares_of_targets(batches: list[Batch]) -> list[float]:
    """Return the share of each batch in the targets of all; without a target, in the batches."""
    if len(batches) == 1:
        return [1.0]
    counts = [int((batch.targets != IGNORED).sum()) for batch in batches]
    return [count / sum(counts) if sum(counts) else 1 / len(counts) for count in counts]


@contextmanager
def _report_cost(since: float, rows_learned: Callable[[], int]) -> Iterator[None]:
    """Add the cost of the run, in rows and seconds, to a `DivergedError` raised in this block."""
    try:
        yield
    except DivergedError as error:
        error.rows, error.seconds = rows_learned(), time.monotonic() - since
        raise


def _epoch_rows(strategies: Strategies, lesson: TrainingData) -> tuple[pd.DataFrame, int]:
    """Return the rows of the next epoch and how many of them are past rows."""
    chosen, recalled = lesson.rows, []
    for strategy, update in strategies:
        new, past = strategy.epoch_rows(update)
        if new is not lesson.rows:
            chosen = new if chosen is lesson.rows else chosen[chosen["id"].isin(new["id"])]
        recalled += [] if past is None else [past]
    rows = pd.concat([chosen, *recalled], ignore_index=True)
    return rows, len(rows) - len(chosen)


def _count_steps(learner: Learner, rows: pd.DataFrame, tokens: TokenCache, settings: TrainingSettings) -> int:
    """Return the steps of an epoch; of batches by tokens there may be a few more or less, depending on their order."""
    if settings.batch_tokens is not None or learner.task.measures_texts:
        rows, encoded = in_blocks(learner, rows, tokens.encode(rows))
    batches = math.ceil(len(rows) / settings.batch_size)
    if settings.batch_tokens is not None:
        lengths = [len(row.input_ids) for row in encoded]
        batches = len(batch_by_cost(lengths, lengths, settings.batch_tokens))
    return math.ceil(batches / settings.accumulate)


def _validate(
    learner: Learner,
    rows: pd.DataFrame | None,
    training_loss: float,
    settings: TrainingSettings,
    *,
    logits: list[torch.Tensor] | None = None,
) -> tuple[float | None, float]:
    """Return score and loss on validation rows; without a row of a known label, the loss is the training loss.

    The score is None if the rows cannot decide one, or there are none.

    Raises:
        DivergedError: the loss is not finite.
    """
    if rows is None or rows.empty:
        return None, training_loss
    score, loss = score_rows(learner, rows, precision=settings.precision, logits=logits)
    if math.isfinite(loss):
        return score, loss
    if any(target != IGNORED for row in learner.encode(rows) for target in row.targets):
        raise DivergedError(f"training stopped: the validation loss is {loss}; {_suggest_rate(settings)}")
    return score, training_loss


def _check_weights(learner: Learner, settings: TrainingSettings) -> None:
    """Raise `DivergedError` if the last step left a weight that is not finite, which its loss cannot show."""
    for name, parameter in learner.parameters():
        if not torch.isfinite(parameter).all():
            raise DivergedError(f"training stopped: {name} is not finite after a step; {_suggest_rate(settings)}")


def _first_diverged(terms: dict[str, torch.Tensor], settings: TrainingSettings) -> DivergedError:
    """Return the error that names the first non-finite term of the loss and what to change."""
    for name, term in terms.items():
        if not math.isfinite(value := float(term.detach())):
            cause = "" if name == "the loss" else "its strength is probably too high, or "
            return DivergedError(f"training stopped: {name} is {value}; {cause}{_suggest_rate(settings)}")
    return DivergedError(f"training stopped: loss and penalties add up to infinity; {_suggest_rate(settings)}")


def _suggest_rate(settings: TrainingSettings) -> str:
    return (
        f"training.learning_rate {settings.learning_rate:g} (head {settings.head_learning_rate:g}) is probably too high"
    )
