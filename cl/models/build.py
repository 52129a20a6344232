"""Learners are built: from pretrained weights, with other settings, with more labels."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cl import plugins
from cl.config import Config
from cl.config import ModelSettings as ModelSettings
from cl.errors import ConfigError
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.models.pretrained import load_encoder, load_tokenizer
from cl.models.tunings import Tuning
from cl.tasks import Task

log = logging.getLogger(__name__)


def new_learner(config: Config) -> Learner:
    """Make a learner from pretrained weights, with no labels yet.

    Raises:
        ConfigError: the model cannot be loaded.
    """
    encoder, tokenizer = load_encoder(config.model.name), load_tokenizer(config.model.name)
    settings = _readable(config.model, encoder, tokenizer)
    learner = Learner(
        task=plugins.build(Task, config.task),
        task_spec=config.task,
        labels=[],
        settings=settings,
        tokenizer=tokenizer,
        encoder=_attached(encoder, settings),
        head=LinearHead(encoder.config.hidden_size, [], config.model.dropout),
    )
    return to_best_device(learner)


def change_tuning(learner: Learner, settings: ModelSettings) -> Learner:
    """Return the learner with other settings: what the old tuning had added is merged, the new one attached.

    Raises:
        ConfigError: the old tuning cannot be merged into the encoder.
    """
    settings = _readable(settings, learner.encoder, learner.tokenizer)
    if settings.tuning == learner.settings.tuning:
        return replace(learner, settings=settings)
    plain = cast(PreTrainedModel | None, learner.tuning.merge(learner.encoder))
    if plain is None:
        raise ConfigError(
            f"model.tuning: a champion tuned with '{learner.tuning.name}' cannot go on with another mode; "
            f"keep '{learner.tuning.name}', or start again with strategy {{name: joint, restart: true}}"
        )
    return to_best_device(replace(learner, settings=settings, encoder=_attached(plain, settings)))


def added_parameters(learner: Learner) -> frozenset[str]:
    """Return the names of the parameters that its tuning has added to the encoder."""
    if not learner.tuning.adds:
        return frozenset()
    moving = {id(parameter) for parameter in learner.tuning.moving(learner.encoder)}
    return frozenset(f"encoder.{name}" for name, one in learner.encoder.named_parameters() if id(one) in moving)


def grow_labels(learner: Learner, labels: list[str], *, seed: int) -> Learner:
    """Return the learner with a head that also answers the labels it did not know; old logits do not change."""
    added = [label for label in labels if label not in learner.labels]
    if not added:
        return learner
    learner.head.grow(len(added), torch.Generator().manual_seed(seed))
    learner.head.to(learner.device)
    return replace(learner, labels=[*learner.labels, *added])


def freeze_all_but_tuned(learner: Learner) -> None:
    """Mark as trainable what the tuning lets move, and the head, and nothing else."""
    learner.encoder.requires_grad_(False)
    for parameter in learner.tuning.moving(learner.encoder):
        parameter.requires_grad_(True)
    learner.head.requires_grad_(True)


def to_best_device(learner: Learner) -> Learner:
    """Move the learner to the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    learner.encoder.to(device)  # type: ignore[arg-type]
    learner.head.to(device)
    return learner


def _readable(settings: ModelSettings, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> ModelSettings:
    """Return settings whose length the encoder has positions for.

    Raises:
        ConfigError: there are none left for the virtual tokens of its tuning.
    """
    positions = getattr(encoder.config, "max_position_embeddings", None)
    most = min(settings.max_length if positions is None else positions, tokenizer.model_max_length)
    if settings.max_length > most:
        log.warning("model.max_length: %s reads %d tokens at most, not %d", settings.name, most, settings.max_length)
        settings = settings.model_copy(update={"max_length": most})
    tuning = plugins.build(Tuning, settings.tuning)
    if positions is not None and settings.max_length + tuning.virtual_tokens > positions:
        raise ConfigError(
            f"model.max_length {settings.max_length} and the {tuning.virtual_tokens} virtual tokens of model.tuning "
            f"'{tuning.name}' are more than the {positions} positions of {settings.name}: lower model.max_length to "
            f"{max(0, positions - tuning.virtual_tokens)} or less, or tokens of model.tuning"
        )
    return settings


def _attached(encoder: PreTrainedModel, settings: ModelSettings) -> PreTrainedModel:
    """Add what the tuning adds; its first values come from torch's own random state."""
    return cast(PreTrainedModel, plugins.build(Tuning, settings.tuning).attach(encoder))
