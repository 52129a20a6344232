"""Convert a learner to another number format."""

from __future__ import annotations

import copy
from dataclasses import replace

from cl.models.int8 import dequantise, quantise
from cl.models.learner import Learner


def quantise_learner(learner: Learner) -> Learner:
    """Return a copy with the encoder's matrices and word embeddings in int8; the head is unchanged.

    Args:
        learner: in floats, with nothing added to its encoder.
    """
    settings = learner.settings.model_copy(update={"dtype": "float32"})
    encoder, head = quantise(learner.encoder), copy.deepcopy(learner.head)
    return replace(learner, settings=settings, encoder=encoder, head=head, graph=None)


def dequantise_learner(learner: Learner) -> Learner:
    """Return a trainable learner: float weights and no ONNX graph."""
    if learner.graph is not None:
        learner = replace(learner, graph=None)
    return replace(learner, encoder=dequantise(learner.encoder)) if learner.is_int8 else learner
