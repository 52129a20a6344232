"""Versions some of whose weights are no numbers any more."""

from __future__ import annotations

from pathlib import Path

import torch

from cl.models.learner import Learner
from cl.models.persistence import load_learner, save_learner

WORD = "tuesday"
"""The word that a version with a damaged embedding cannot read."""


def damage(folder: Path, part: str, value: float) -> None:
    """Set a part of a saved version to a value: ``word``, ``encoder`` or ``head``."""
    learner = load_learner(folder)
    with torch.no_grad():
        _weights(learner, part).fill_(value)
    save_learner(learner, folder)


def _weights(learner: Learner, part: str) -> torch.Tensor:
    if part == "word":
        return learner.encoder.get_input_embeddings().weight[learner.tokenizer.convert_tokens_to_ids(WORD)]
    module = learner.encoder if part == "encoder" else learner.head
    return next(parameter for parameter in module.parameters() if parameter.ndim > 1)
