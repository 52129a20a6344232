"""Build learners: from pretrained weights, with other settings, with more labels."""

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
from cl.models.compatibility import bounded, check_reading, check_states, find_reading, fit_pair, max_positions
from cl.models.language_base import load_base
from cl.models.language_learner import LanguageLearner
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead, OutputLayer
from cl.models.number_formats import cast_parameters, hold_weights
from cl.models.pretrained import load_pretrained, load_tokenizer
from cl.models.tunings import Tuning
from cl.models.windows import windows_of
from cl.tasks import Capability, Task

log = logging.getLogger(__name__)


def new_learner(config: Config) -> Learner:
    """Build a learner from pretrained weights, without labels.

    Raises:
        ConfigError: the model cannot be loaded, or its states are not those of a text encoder.
    """
    task: Task = plugins.build(Task, config.task)
    if Capability.WRITING in task.provides:
        return new_language_learner(config, task)
    stored_format = "float32" if config.model.dtype == "float32" else "auto"
    encoder, tokenizer = load_pretrained(config.model.name, split_words=task.splits_words, dtype=stored_format)
    settings = fit_max_length(config.model, encoder, tokenizer)
    learner = Learner(
        task=task,
        task_spec=config.task,
        labels=[],
        settings=settings,
        tokenizer=tokenizer,
        encoder=attach_tuning(encoder, settings),
        head=LinearHead(task.feature_width(encoder.config.hidden_size), [], config.model.dropout),
    )
    check_states(to_best_device(learner))
    return with_reading(learner)


def new_language_learner(config: Config, task: Task) -> LanguageLearner:
    """Build a learner that writes its answers, from a pretrained language model.

    Raises:
        ConfigError: the model cannot be loaded, or the settings do not suit it.
    """
    settings = config.model
    if settings.windows is not None:
        raise ConfigError("model.windows: a language model reads a prompt as a whole: set it to null")
    model, base = load_base(settings.name, "float32" if settings.dtype == "float32" else "auto")
    if task.measures_texts and model.config.is_encoder_decoder:
        raise ConfigError(
            f"model.name: '{settings.name}' has a decoder of its own, which task '{task.name}' cannot train: "
            "name a causal model, such as smollm2"
        )
    tokenizer = load_tokenizer(settings.name)
    fit_pair(settings.name, model, tokenizer, split_words=False)
    settings = fit_max_length(settings, model, tokenizer)
    learner = LanguageLearner(
        task=task,
        task_spec=config.task,
        labels=[],
        settings=settings,
        tokenizer=tokenizer,
        encoder=attach_tuning(model, settings),
        head=OutputLayer(model.config.hidden_size),
        base=base,
    )
    return cast(LanguageLearner, to_best_device(learner))


def with_reading(learner: Learner) -> Learner:
    """Return a learner that was just built, read where its model and its settings say.

    Raises:
        ConfigError: its settings do not go together with how it is read.
    """
    learner = replace(learner, reading=find_reading(learner))
    check_reading(learner)
    return learner


def change_tuning(learner: Learner, settings: ModelSettings) -> Learner:
    """Return the learner with other settings: the old tuning is merged and the new one attached.

    Raises:
        ConfigError: the old tuning cannot be merged into the encoder, or the champion is read in another way.
    """
    settings = fit_max_length(settings, learner.encoder, learner.tokenizer)
    check_reading(replace(learner, settings=settings))
    if settings.tuning == learner.settings.tuning:
        hold_weights(learner.encoder, learner.tuning, settings.dtype)
        return replace(learner, settings=settings)
    if learner.by_reference:
        raise ConfigError(
            f"model.tuning: versions refer to '{learner.settings.name}' by digest, into which '{learner.tuning.name}' "
            f"cannot be merged: keep it, or start again with strategy {{name: joint, restart: true}}"
        )
    if learner.settings.dtype == "bfloat16":
        cast_parameters(learner.encoder, torch.float32)  # what was trained is more precise than what it is merged into
    plain = cast(PreTrainedModel | None, learner.tuning.merge(learner.encoder))
    if plain is None:
        raise ConfigError(
            f"model.tuning: a champion tuned with '{learner.tuning.name}' cannot go on with another mode: "
            f"keep '{learner.tuning.name}', or start again with strategy {{name: joint, restart: true}}"
        )
    learner = to_best_device(replace(learner, settings=settings, encoder=attach_tuning(plain, settings)))
    check_states(learner)
    return learner


def added_parameters(learner: Learner) -> frozenset[str]:
    """Return the names of the parameters that the learner's tuning has added to its encoder."""
    if not learner.tuning.adds_modules:
        return frozenset()
    moving = {id(parameter) for parameter in learner.tuning.moving(learner.encoder)}
    return frozenset(
        f"encoder.{name}" for name, parameter in learner.encoder.named_parameters() if id(parameter) in moving
    )


def grow_labels(learner: Learner, labels: list[str], *, seed: int) -> Learner:
    """Return the learner with its head extended by the new labels among those given; old logits do not change."""
    added = [label for label in labels if label not in learner.labels]
    if not added:
        return learner
    learner.head.grow(len(added), torch.Generator().manual_seed(seed), logit=learner.task.first_logit)
    learner.head.to(learner.device)
    return replace(learner, labels=[*learner.labels, *added])


def freeze_all_but_tuned(learner: Learner) -> None:
    """Make the tuned parameters and the head trainable, and freeze all others."""
    learner.encoder.requires_grad_(False)
    for parameter in learner.tuning.moving(learner.encoder):
        parameter.requires_grad_(True)
    learner.head.requires_grad_(True)


def to_best_device(learner: Learner) -> Learner:
    """Move the learner to the GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    learner.encoder.to(device)  # type: ignore[arg-type]
    learner.head.to(device)
    return learner


def fit_max_length(
    settings: ModelSettings, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> ModelSettings:
    """Return the settings with ``max_length`` lowered to what the encoder can read.

    Raises:
        ConfigError: no positions are left for the tuning's virtual tokens, or for the step from window to window.
    """
    positions = max_positions(encoder)
    most = min(settings.max_length if positions is None else positions, tokenizer.model_max_length)
    if settings.max_length > most:
        log.warning("model.max_length: %s reads %d tokens at most, not %d", settings.name, most, settings.max_length)
        settings = settings.model_copy(update={"max_length": most})
    windows_of(settings, tokenizer)
    tuning = plugins.build(Tuning, settings.tuning)
    if positions is not None and settings.max_length + tuning.virtual_tokens > positions:
        raise ConfigError(
            f"model.max_length {settings.max_length} and the {tuning.virtual_tokens} virtual tokens of model.tuning "
            f"'{tuning.name}' exceed the {positions} positions of {settings.name}: lower model.max_length to "
            f"{max(0, positions - tuning.virtual_tokens)} or less, or reduce its tokens"
        )
    return settings


def attach_tuning(encoder: PreTrainedModel, settings: ModelSettings) -> PreTrainedModel:
    """Attach the tuning to the encoder; initial values come from torch's random state.

    Raises:
        ConfigError: it cannot be attached to an encoder of this family, or finds nothing to train in it.
    """
    tuning = plugins.build(Tuning, settings.tuning)
    try:
        attached = tuning.attach(encoder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # peft's, for families that it does not know
        raise ConfigError(
            f"model.tuning '{tuning.name}' cannot be added to {type(encoder).__name__}: {bounded(error)}; name the "
            "layers in its targets if it has them, or choose full, top_layers or lora"
        ) from None
    if tuning.trains_encoder and not tuning.moving(attached):
        raise ConfigError(
            f"model.tuning '{tuning.name}' finds nothing to train in {type(encoder).__name__}: choose full, "
            "top_layers, lora or head"
        )
    hold_weights(attached, tuning, settings.dtype)
    return cast(PreTrainedModel, attached)
