"""Build an untrained student from some of its teacher's layers and tokens, or from a smaller pretrained model."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from cl.compression.prune_vocabulary import narrow_embeddings, narrow_tokenizer, tokens_to_keep
from cl.config import StudentSettings
from cl.errors import ConfigError
from cl.models.build import change_tuning, fit_max_length, grow_labels, to_best_device, with_reading
from cl.models.compatibility import check_states
from cl.models.drop_layers import drop_layers, has_own_first_layer
from cl.models.language_base import count_layers
from cl.models.language_files import read_base
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.models.pretrained import load_pretrained
from cl.models.rewrites import dequantise_learner


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
    return change_tuning(
        dequantise_learner(teacher), teacher.settings.model_copy(update={"tuning": "full", "dtype": "float32"})
    )


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
            student = replace(student, encoder=drop_layers(teacher.encoder, choose_layers(teacher, wanted.layers)))
        if wanted.vocabulary is not None and wanted.vocabulary < len(teacher.tokenizer):
            kept = tokens_to_keep(teacher.tokenizer, used, wanted.vocabulary)
            narrow_embeddings(student.encoder, kept)
            student = replace(student, tokenizer=narrow_tokenizer(teacher.tokenizer, kept))
    if student.is_closed or student.width != teacher.width:
        student = replace(student, labels=[], head=LinearHead(student.feature_width, [], student.settings.dropout))
        student = grow_labels(student, teacher.labels, seed=seed)
    return to_best_device(student)


def choose_layers(teacher: Learner, wanted: int | list[int]) -> list[int]:
    """Return the layers to keep: those listed, or for a number, the middle layer of each equal part.

    The first layer of some families holds what the others rely on (T5: where tokens are): it is then the first kept.

    Raises:
        ConfigError: the teacher does not have these layers, or cannot do without its first.
    """
    if isinstance(wanted, int):
        if not 1 <= wanted <= teacher.depth:
            raise ConfigError(
                f"distil.student.layers: {wanted}: the teacher has {teacher.depth}: choose 1 to {teacher.depth}"
            )
        middle = [int((part + 0.5) * teacher.depth / wanted) for part in range(wanted)]
        return [0, *middle[1:]] if has_own_first_layer(teacher.encoder) else middle
    if not wanted or len(set(wanted)) < len(wanted) or max(wanted) >= teacher.depth:
        raise ConfigError(
            f"distil.student.layers: {wanted}: name layers from 0 to {teacher.depth - 1}, each once, at least one"
        )
    if 0 not in wanted and has_own_first_layer(teacher.encoder):
        raise ConfigError(
            f"distil.student.layers: {wanted}: the first layer of {type(teacher.encoder).__name__} differs from the "
            "others, and they rely on it: list 0 too"
        )
    return sorted(wanted)


def is_smaller(wanted: StudentSettings, teacher: Path) -> bool:
    """Return whether a student would be smaller than the version in a folder."""
    described = json.loads((teacher / "learner.json").read_text(encoding="utf-8"))
    if "base" in described:
        return _writes_with_less(wanted, described, teacher)
    current = AutoConfig.from_pretrained(teacher / "encoder")
    if wanted.model is not None:
        return bool(described["model"]["name"] != wanted.model)
    if wanted.layers is None:
        return wanted.vocabulary is not None and bool(wanted.vocabulary < current.vocab_size)
    layers = wanted.layers if isinstance(wanted.layers, int) else len(wanted.layers)
    return bool(layers < current.num_hidden_layers)


def _writes_with_less(wanted: StudentSettings, described: dict[str, Any], teacher: Path) -> bool:
    base = read_base(described)
    if wanted.model is not None:
        return base.name != wanted.model
    layers = len(wanted.layers) if isinstance(wanted.layers, list) else wanted.layers
    return layers is not None and layers < count_layers(base, teacher)


def share_vocabulary(first: Learner, second: Learner) -> bool:
    """Return whether one learner's vocabulary contains the other's."""
    ours, theirs = first.tokenizer.get_vocab(), second.tokenizer.get_vocab()
    return ours.keys() <= theirs.keys() or theirs.keys() <= ours.keys()


def _from_checkpoint(teacher: Learner, name: str) -> Learner:
    """Return a learner built on another pretrained model, with the teacher's task and labels.

    Raises:
        ConfigError: the model cannot be loaded, or lacks embeddings for tokens of its tokenizer.
    """
    try:
        encoder, tokenizer = load_pretrained(name, split_words=teacher.task.splits_words)
        settings = fit_max_length(teacher.settings.model_copy(update={"name": name}), encoder, tokenizer)
        head = LinearHead(teacher.task.feature_width(encoder.config.hidden_size), [], settings.dropout)
        student = replace(teacher, labels=[], settings=settings, tokenizer=tokenizer, encoder=encoder, head=head)
        check_states(to_best_device(student))
        student = with_reading(student)
    except ConfigError as error:
        raise ConfigError(str(error).replace("model.name", "distil.student.model", 1)) from None
    return grow_labels(student, teacher.labels, seed=0)
