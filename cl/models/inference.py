"""Run a learner over rows: predictions, embeddings, loss and Brier scores, in the rows' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from cl.errors import UnservableError
from cl.models.answers import Answers as Answers
from cl.models.closed_form_head import ClosedFormHead
from cl.models.frozen_features import feature_reader
from cl.models.generation import answer_in_words, read_answers
from cl.models.learner import Learner
from cl.models.precision import Precision, autocast, half_weights
from cl.tasks import Encoded, Prediction, Targets

BATCH_SIZE = 64
Answering = Callable[[str, pd.DataFrame], list[torch.Tensor] | None]
"""Returns the logits of the rows of one experience (its id, the rows), for `answer`; None: the learner's own."""
_BLOCK = 1_024
"""Rows whose expanded features are in memory at a time."""


def answer(
    learner: Learner,
    rows: pd.DataFrame,
    *,
    batch_size: int = BATCH_SIZE,
    precision: Precision = "float32",
    logits: Sequence[torch.Tensor] | None = None,
    choosing: bool = False,
) -> Answers:
    """Run a learner over rows, dropout off; a head in closed form always reads float32.

    The encoder below a head in closed form is frozen: inside `feature_cache.cached_in`, it reads each row only once.

    Args:
        learner: what answers.
        rows: to be answered.
        batch_size: rows that the encoder reads at a time.
        precision: of a trained learner.
        logits: of each row (positions, labels), for a head in closed form; None: the head's own.
        choosing: answer with the thresholds that the task chooses on these very rows, where it has any.
    """
    if learner.writes:
        with _in_precision(learner, precision):
            return answer_in_words(learner, rows)
    decoder = _Decoder(learner, rows, choosing=choosing and learner.task.has_thresholds)
    with torch.inference_mode():
        if isinstance(learner.head, ClosedFormHead):
            return _answer_closed(learner, learner.head, decoder, logits)
        with _in_precision(learner, precision):
            return _answer(learner, decoder, batch_size)


@contextmanager
def _in_precision(learner: Learner, precision: Precision) -> Iterator[None]:
    halves = half_weights(learner, precision)
    with autocast(precision, learner.device), halves.in_use() if halves else nullcontext():
        yield


class _Decoder:
    """Turns the probabilities of rows into predictions; if it chooses thresholds, once it has all of them."""

    def __init__(self, learner: Learner, rows: pd.DataFrame, *, choosing: bool) -> None:
        self.encoded: list[Encoded] = learner.encode(rows)
        self._learner, self._rows, self._chooses = learner, rows, choosing
        self._decoded: list[Prediction | None] = [None] * len(rows)
        self._probabilities = np.zeros((len(rows) if choosing else 0, len(learner.labels)), dtype=np.float32)

    def add(self, rows: list[int], probabilities: np.ndarray) -> None:
        """Take the probabilities (rows, positions, labels) of some rows."""
        if self._chooses:
            self._probabilities[rows] = probabilities[:, 0]
            return
        encoded = [self.encoded[row] for row in rows]
        decoded = self._learner.task.decode_rows(probabilities, encoded, self._learner.targets)
        for row, prediction in zip(rows, decoded, strict=True):
            self._decoded[row] = prediction

    def finish(self) -> tuple[list[Prediction], Targets]:
        """Return the predictions, and what could be answered."""
        learner, targets = self._learner, self._learner.targets
        if not self._chooses:
            return [prediction for prediction in self._decoded if prediction], targets
        targets = Targets(learner.labels, learner.task.thresholds(self._rows, self._probabilities, learner.labels))
        return learner.task.decode_rows(self._probabilities[:, None], self.encoded, targets), targets


def _answer(learner: Learner, decoder: _Decoder, batch_size: int) -> Answers:
    encoded, task = decoder.encoded, learner.task
    embeddings = np.zeros((len(encoded), learner.width), dtype=np.float32)
    brier = np.zeros(len(encoded))
    loss, counted = 0.0, 0
    for batch, own in learner.run(encoded, batch_size=batch_size):
        states = [layer.float() for layer in own]
        logits = learner.read(states, batch)
        probabilities = task.probabilities(logits.float()).cpu().numpy().reshape(len(batch.rows), -1, logits.shape[-1])
        embeddings[batch.rows] = learner.embed(states[-1], batch.mask).float().cpu().numpy()
        known = int((batch.targets >= 0).sum())
        if known:
            loss += float(task.loss(logits, batch.targets)) * known
            counted += known
        brier[batch.rows] = task.brier_rows(probabilities, [encoded[row] for row in batch.rows])
        decoder.add(batch.rows, probabilities)
    predictions, targets = decoder.finish()
    return Answers(predictions, embeddings, loss / counted if counted else float("nan"), brier, targets)


def _answer_closed(
    learner: Learner, head: ClosedFormHead, decoder: _Decoder, given: Sequence[torch.Tensor] | None
) -> Answers:
    encoded, read, task = decoder.encoded, feature_reader(learner, head), learner.task
    embeddings = np.zeros((len(encoded), learner.feature_width), dtype=np.float32)
    brier = np.zeros(len(encoded))
    loss, counted = 0.0, 0
    for start in range(0, len(encoded), _BLOCK):
        block = encoded[start : start + _BLOCK]
        features = read(block)
        if given is None:
            logits = head(torch.cat(features).float().to(learner.device)).cpu()
        else:
            logits = torch.cat(list(given[start : start + _BLOCK]))
        targets = task.flat_targets(block)
        known = int((targets >= 0).sum())
        if known:
            loss += float(task.loss(logits, targets)) * known
            counted += known
        parts = task.probabilities(logits).split([len(positions) for positions in features])
        for index, (row, part) in enumerate(zip(block, parts, strict=True), start):
            decoder.add([index], part.numpy()[None])
            brier[index] = task.brier(part.numpy(), row)
            embeddings[index] = features[index - start][:, -learner.feature_width :].float().mean(0).numpy()
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    predictions, wanted = decoder.finish()
    return Answers(predictions, embeddings / lengths, loss / counted if counted else float("nan"), brier, wanted)


def score_rows(
    learner: Learner,
    rows: pd.DataFrame,
    *,
    precision: Precision = "float32",
    logits: Sequence[torch.Tensor] | None = None,
) -> tuple[float | None, float]:
    """Return the task's main score, None if undecided, and the loss on validation rows; ``logits`` as for `answer`.

    Thresholds are those that the task chooses on these rows, as it does in the end. A learner that writes its answers
    is scored by how probable it holds the true ones: to write them after each epoch would take longer than the epoch.
    """
    if learner.writes:
        with _in_precision(learner, precision):
            read = read_answers(learner, learner.encode(rows))
        return read.score, read.loss
    answers = answer(learner, rows, precision=precision, logits=logits, choosing=True)
    return learner.task.main_score(rows, answers.values), answers.loss


def choose_thresholds(
    learner: Learner,
    rows: pd.DataFrame | None,
    *,
    precision: Precision = "float32",
    logits: Sequence[torch.Tensor] | None = None,
) -> Learner:
    """Return the learner with the thresholds that its task chooses on validation rows; ``logits`` as for `answer`.

    A task without thresholds leaves it as it is.
    """
    if not learner.task.has_thresholds:
        return learner
    targets = None
    if rows is not None and len(rows):
        targets = answer(learner, rows, precision=precision, logits=logits, choosing=True).targets
    chosen = None if targets is None or targets.thresholds is None else tuple(map(float, targets.thresholds))
    return replace(learner, thresholds=chosen)


def predict(learner: Learner, rows: pd.DataFrame, *, precision: Precision = "float32") -> list[Prediction]:
    """Return a learner's predictions for rows that have the task's input column."""
    return answer(learner, rows, precision=precision).predictions


def require_finite(version: str, probabilities: np.ndarray | Sequence[float]) -> None:
    """Do nothing if all probabilities of an answer are finite: what a version answers goes through here.

    Raises:
        UnservableError: one is not, so that the answer would mean nothing.
    """
    if not np.isfinite(probabilities).all():
        raise UnservableError(
            f"version {version} answers with probabilities that are not finite: its weights are damaged; "
            "let another version serve (cl rollback)"
        )


def count_cut(learner: Learner, rows: pd.DataFrame) -> int:
    """Return how many rows are longer than a learner reads; only those with enough letters are tokenised for it."""
    if learner.task.measures_texts:
        return 0  # they are read in blocks
    long = rows[learner.task.texts(rows).map(lambda text: 2 * len(text.encode()) + 8 > learner.longest).astype(bool)]
    return sum(len(row.input_ids) > learner.longest for row in learner.encode_further(long, 1))


@torch.no_grad()
def row_logits(learner: Learner, rows: pd.DataFrame) -> list[torch.Tensor]:
    """Return each row's logits (predictions, labels) at its targets: float32 on the CPU, dropout off."""
    encoded = learner.encode(rows)
    records = [torch.empty(0)] * len(rows)
    for batch, states in learner.run(encoded, batch_size=BATCH_SIZE):
        logits = learner.read(states, batch).float().cpu()
        for row, own in zip(batch.rows, learner.task.by_row(logits, batch.targets.cpu()), strict=True):
            records[row] = own
    return records


def overlapping_logits(now: torch.Tensor, then: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the overlap of one row's logits from two points in time.

    The labels known then come first; a text that has been truncated differently since still starts the same.
    """
    predictions = min(len(now), len(then))
    return now[:predictions, : then.shape[-1]].float(), then[:predictions].to(now.device)
