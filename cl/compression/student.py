"""Build an untrained student from some of its teacher's layers and tokens, or from a smaller pretrained model."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig

from cl.compression.prune_vocabulary import narrow_embeddings, narrow_tokenizer, tokens_to_keep
from cl.config import StudentSettings
from cl.errors import ConfigError
from cl.models.build import change_tuning, grow_labels, to_best_device
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.models.pretrained import load_encoder, load_tokenizer
from cl.models.rewrites import dequantise_learner
from cl.models.tunings import encoder_layers


def merge_to_float(teacher: Learner) -> Learner:
    """Return a teacher in float32 with its tuning merged: a copy if anything had to change.

    Raises:
        ConfigError: the tuning cannot be merged into the encoder.
    """
    if teacher.tuning.adds_modules and teacher.tuning.merge(copy.deepcopy(teacher.encoder)) is None:
        raise ConfigError(
            f"a version tuned with '{teacher.tuning.name}' cannot be merged into its encoder, so nothing can be "
            "derived from it: distil a version with another model.tuning"
        )
    return change_tuning(dequantise_learner(teacher), teacher.settings.model_copy(update={"tuning": "full"}))


def new_student(teacher: Learner, wanted: StudentSettings, *, used: set[int], seed: int) -> Learner:
    """Return an untrained student; it keeps its teacher's head if that was trained and has the same width.

    Args:
        teacher: in float32, with nothing added to its encoder.
        wanted: how the student is built.
        used: ids of the tokens that the rows use.
        seed: of a newly initialised head.

    Raises:
        ConfigError: the teacher does not have the layers, or the model or its tokens cannot be used.
    """
    if wanted.model is not None:
        student = _from_checkpoint(teacher, wanted.model)
    else:
        student = replace(teacher, encoder=copy.deepcopy(teacher.encoder), head=copy.deepcopy(teacher.head))
        if wanted.layers is not None:
            _keep_layers(student, choose_layers(teacher, wanted.layers))
        if wanted.vocabulary is not None and wanted.vocabulary < len(teacher.tokenizer):
            kept = tokens_to_keep(teacher.tokenizer, used, wanted.vocabulary)
            narrow_embeddings(student.encoder, kept)
            student = replace(student, tokenizer=narrow_tokenizer(teacher.tokenizer, kept))
    if student.is_closed or student.width != teacher.width:
        student = replace(student, labels=[], head=LinearHead(student.width, [], student.settings.dropout))
        student = grow_labels(student, teacher.labels, seed=seed)
    return to_best_device(student)


def choose_layers(teacher: Learner, wanted: int | list[int]) -> list[int]:
    """Return the layers to keep: those listed, or for a number, the middle layer of each equal part.

    Raises:
        ConfigError: the teacher does not have these layers.
    """
    if isinstance(wanted, int):
        if not 1 <= wanted <= teacher.depth:
            raise ConfigError(
                f"distil.student.layers: {wanted}: the teacher has {teacher.depth}: choose 1 to {teacher.depth}"
            )
        return [int((part + 0.5) * teacher.depth / wanted) for part in range(wanted)]
    if not wanted or len(set(wanted)) < len(wanted) or max(wanted) >= teacher.depth:
        raise ConfigError(
            f"distil.student.layers: {wanted}: name layers from 0 to {teacher.depth - 1}, each once, at least one"
        )
    return sorted(wanted)


def is_smaller(wanted: StudentSettings, teacher: Path) -> bool:
    """Return whether a student would be smaller than the version in a folder."""
    current = AutoConfig.from_pretrained(teacher / "encoder")
    if wanted.model is not None:
        described = json.loads((teacher / "learner.json").read_text(encoding="utf-8"))
        return bool(described["model"]["name"] != wanted.model)
    if wanted.layers is None:
        return wanted.vocabulary is not None and bool(wanted.vocabulary < current.vocab_size)
    layers = wanted.layers if isinstance(wanted.layers, int) else len(wanted.layers)
    return bool(layers < current.num_hidden_layers)


def share_vocabulary(first: Learner, second: Learner) -> bool:
    """Return whether one learner's vocabulary contains the other's."""
    ours, theirs = first.tokenizer.get_vocab(), second.tokenizer.get_vocab()
    return ours.keys() <= theirs.keys() or theirs.keys() <= ours.keys()


def _keep_layers(student: Learner, kept: list[int]) -> None:
    layers = encoder_layers(student.encoder)
    name = next(name for name, module in student.encoder.named_modules() if module is layers)
    student.encoder.set_submodule(name, torch.nn.ModuleList([layers[index] for index in kept]))
    student.encoder.config.num_hidden_layers = len(kept)


def _from_checkpoint(teacher: Learner, name: str) -> Learner:
    """Return a learner built on another pretrained model, with the teacher's task and labels.

    Raises:
        ConfigError: the model cannot be loaded, or lacks embeddings for tokens of its tokenizer.
    """
    encoder, tokenizer = load_encoder(name), load_tokenizer(name)
    if len(tokenizer) > encoder.config.vocab_size:
        raise ConfigError(
            f"distil.student.model '{name}': its tokenizer has {len(tokenizer)} tokens and its encoder only "
            f"{encoder.config.vocab_size} embeddings: name a model with its own tokenizer"
        )
    positions = getattr(encoder.config, "max_position_embeddings", teacher.settings.max_length)
    length = min(teacher.settings.max_length, positions, tokenizer.model_max_length)
    settings = teacher.settings.model_copy(update={"name": name, "max_length": length})
    head = LinearHead(encoder.config.hidden_size, [], settings.dropout)
    student = replace(teacher, labels=[], settings=settings, tokenizer=tokenizer, encoder=encoder, head=head)
    return grow_labels(student, teacher.labels, seed=0)
