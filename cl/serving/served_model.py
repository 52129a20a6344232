"""A version in memory, ready to answer: verified, converted to the serving precision and warmed up."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from cl.models.closed_form_head import ClosedFormHead
from cl.models.frozen_features import feature_reader, reads_bfloat16
from cl.models.generation import rate, read_answers, write
from cl.models.inference import require_finite
from cl.models.learner import Learner
from cl.models.low_rank import LowRankUpdate, row_updates
from cl.models.persistence import load_learner
from cl.models.precision import ServedPrecision, to_precision
from cl.models.running_rows import running_rows
from cl.serving.out_of_scope import OutOfScopeCheck, build_scope
from cl.serving.writing.shared_bases import SharedBases
from cl.stores.version_folder import former_labels
from cl.tasks import Column, Encoded, Prediction, ValueKind

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)
WARM_BATCHES = ((1, 1), (1, 12), (8, 12), (1, 400))
"""Rows and words of the warm-up batches, which load the weights into memory and let kernels choose their plans. They
are few, because requests that arrive after a promotion wait for the warm-up."""


@dataclass(frozen=True)
class RowAnswer(Prediction):
    """A prediction on its way to the client; ``probabilities`` is (predictions, labels), one per text or token.

    ``out_of_scope`` is None if the version has no threshold; ``id`` is what feedback refers to.
    """

    probabilities: np.ndarray
    out_of_scope: bool | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class ServedModel:
    """A loaded version of the registry; use it from one thread at a time, as its tokenizer is stateful.

    ``former_labels`` maps labels that have been renamed to their names today, and to None those that ended. ``update``
    is what a version adds to a base that it shares with others, which is the learner's encoder; None: nothing.
    """

    version: str
    learner: Learner
    scope: OutOfScopeCheck | None
    former_labels: Mapping[str, str | None] = field(default_factory=dict)
    update: LowRankUpdate | None = None

    @property
    def labels(self) -> list[str]:
        """The labels that it can predict."""
        return self.learner.labels

    def encode(self, values: list[Any]) -> list[Encoded]:
        """Tokenise inputs: bare values of a single one, else mappings from their names."""
        return self.learner.encode(self.learner.task.schema.frame(values))

    def is_unpadded(self, encoded: list[Encoded]) -> bool:
        """Return whether `answer` computes no padding for these rows."""
        closed = self.learner.is_closed
        return self.learner.runs_unpadded(encoded) and (not closed or reads_bfloat16(self.learner))

    @torch.inference_mode()
    def answer(self, values: list[Any], encoded: list[Encoded]) -> list[RowAnswer]:
        """Compute rows as one batch and return their answers in order.

        Raises:
            UnservableError: a probability is not finite.
        """
        if self.learner.writes:
            learner, reads = self.learner, self.learner.task.measures_texts
            with row_updates([self.update]):
                predictions = rate(learner.task, encoded, read_answers(learner, encoded)) if reads else None
                return [self._written(prediction) for prediction in predictions or write(learner, encoded)]
        head = self.learner.head
        outputs = (
            self._run_closed_form(head, encoded) if isinstance(head, ClosedFormHead) else self._run_trained(encoded)
        )
        outside = self.scope.outside(outputs.embeddings).tolist() if self.scope else [None] * len(values)
        answers = []
        for encoding, probabilities, is_outside in zip(encoded, outputs.probabilities, outside, strict=True):
            require_finite(self.version, probabilities[encoding.anchors])
            decoded = self.learner.task.decode(probabilities, encoding, self.learner.targets)
            answers.append(RowAnswer(decoded.value, decoded.confidence, probabilities[encoding.anchors], is_outside))
        return answers

    def _written(self, prediction: Prediction) -> RowAnswer:
        """Return an answer in words, whose only probability is its confidence."""
        require_finite(self.version, [prediction.confidence])
        return RowAnswer(prediction.value, prediction.confidence, np.array([[prediction.confidence]]), None)

    def _run_trained(self, encoded: list[Encoded]) -> _Outputs:
        learner = self.learner
        ((batch, states),) = learner.run(encoded, batch_size=None)
        states = [layer.float() for layer in states]
        logits = learner.read(states, batch)
        probabilities = learner.task.probabilities(logits).cpu().numpy().reshape(len(encoded), -1, logits.shape[-1])
        order = np.argsort(batch.rows)  # a batch has its shortest rows first
        return _Outputs(list(probabilities[order]), learner.embed(states[-1], batch.mask).cpu().numpy()[order])

    def _run_closed_form(self, head: ClosedFormHead, encoded: list[Encoded]) -> _Outputs:
        features = feature_reader(self.learner, head)(encoded)
        logits = head(torch.cat(features).float().to(self.learner.device))
        probabilities = self.learner.task.probabilities(logits).cpu()
        embeddings = [row[:, -self.learner.feature_width :].float().mean(0).numpy() for row in features]
        return _Outputs(
            [part.numpy() for part in probabilities.split([len(row) for row in features])], np.stack(embeddings)
        )


@dataclass(frozen=True)
class _Outputs:
    probabilities: list[np.ndarray]
    embeddings: np.ndarray


def load_served_model(
    version: str, folder: Path, precision: ServedPrecision, bases: SharedBases | None = None
) -> ServedModel:
    """Load a verified version and warm it up, so that its first request is as fast as later ones.

    The weights that a tuning has added are merged into the encoder where possible; a language model's stay apart from a
    base that versions share.

    Args:
        version: its number.
        folder: its files.
        precision: of a model that does not write: what is written must be what `cl predict` and the gates have seen,
            but for an explicit bfloat16.
        bases: in memory.

    Raises:
        UnservableError: its probabilities are not finite.
    """
    bases = bases or SharedBases()
    learner = load_learner(folder, restore=bases.restore)
    if learner.writes:
        return _load_writer(version, folder, learner, precision, bases)
    exact = learner.settings.dtype == "float32"  # bfloat16 would round away what was trained
    merged = (learner.tuning.merge(learner.encoder) if exact else None) or learner.encoder
    learner = to_precision(replace(learner, encoder=cast("PreTrainedModel", merged)), precision)
    for module in (learner.encoder, learner.head):
        module.requires_grad_(False)
    former = former_labels(folder)
    loaded = ServedModel(version, prepare_for_serving(learner), build_scope(folder), former)
    _warm_up(loaded)
    return loaded


def _load_writer(
    version: str, folder: Path, learner: Learner, precision: ServedPrecision, bases: SharedBases
) -> ServedModel:
    if precision == "int8":
        log.warning("serve.precision int8 needs an encoder without adapters, and there is none: using auto")
    learner = to_precision(learner, "bfloat16" if precision == "bfloat16" else "float32")
    learner.encoder.requires_grad_(False)
    encoder, update = bases.share(learner)
    loaded = ServedModel(version, replace(learner, encoder=encoder), None, former_labels(folder), update)
    schema = learner.task.schema
    value = schema.input.example if schema.input else {column.name: column.example for column in schema.inputs}
    (encoded,) = loaded.encode([value])
    rows = running_rows(loaded.learner)
    logits = rows.join([encoded.context.prompt], [update])
    require_finite(version, logits.logsumexp(-1).tolist())
    rows.step([int(logits.argmax())])
    return loaded


def prepare_for_serving(learner: Learner) -> Learner:
    """Free the weights that the learner's graph also holds: it can then predict, but not be trained or saved."""
    if learner.graph is not None:
        learner.encoder.to("meta")  # type: ignore[arg-type]
    return learner


def _warm_up(loaded: ServedModel) -> None:
    schema = loaded.learner.task.schema
    for rows, words in WARM_BATCHES:
        row = {column.name: _warm_value(column, words) for column in schema.inputs}
        values: list[Any] = [row if schema.input is None else row[schema.input.name]] * rows
        loaded.answer(values, loaded.encode(values))


def _warm_value(column: Column, words: int) -> Any:
    values = {ValueKind.TEXT: "the " * words, ValueKind.WORDS: ["the"] * words, ValueKind.SPAN: [0, len("the")]}
    return values.get(column.kind, column.example)
