"""Students of models that write: an untrained one, the answers that it learns, and how it imitates their tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pandas as pd
import torch

from cl.compression.student import choose_layers
from cl.config import Config
from cl.errors import ConfigError
from cl.models.build import attach_tuning, new_language_learner, to_best_device
from cl.models.drop_layers import renumber
from cl.models.generation import write
from cl.models.language_base import restore_base
from cl.models.language_files import take_trained, trained_parameters
from cl.models.language_learner import LanguageLearner
from cl.models.learner import Learner
from cl.training.strategies import Step, Strategy, Update
from cl.training.strategies.kl import divergence, most_probable

RECORDED = 100
"""Most probable tokens of the teacher that are recorded at each place; all others count as one."""


def new_writing_student(config: Config, teacher: LanguageLearner, folder: Path) -> LanguageLearner:
    """Return a student of a language model, with its tuning: of the teacher's layers, or of a smaller pretrained model.

    In either case its versions have what was trained and refer to a base, of which some layers are used or all. One of
    the teacher's layers starts from what the teacher has learned in these.

    Args:
        config: how the student is built.
        teacher: as loaded.
        folder: of the teacher's version.

    Raises:
        ConfigError: no student is named, the teacher does not have the layers, or the model cannot be used.
    """
    wanted = config.distil.student
    if wanted.model is not None:
        settings = teacher.settings.model_copy(update={"name": wanted.model})
        try:
            student = new_language_learner(config.model_copy(update={"model": settings}), teacher.task)
        except ConfigError as error:
            raise ConfigError(str(error).replace("model.name", "distil.student.model", 1)) from None
        return replace(student, task_spec=teacher.task_spec, labels=teacher.labels)
    if wanted.layers is None or teacher.base is None:
        raise ConfigError(
            "distil.student: a language model keeps its vocabulary: name a smaller model of the same family in model, "
            "or how many layers to keep in layers"
        )
    kept = choose_layers(teacher, wanted.layers)
    used = teacher.base.layers or tuple(range(teacher.depth))
    base = replace(teacher.base, layers=tuple(used[layer] for layer in kept))
    model = restore_base(base, folder, "float32" if teacher.settings.dtype == "float32" else "auto")
    model.config.use_cache = False
    student = replace(teacher, encoder=attach_tuning(model, teacher.settings), base=base)
    take_trained(student, renumber(teacher.encoder, kept, trained_parameters(teacher)))
    return cast(LanguageLearner, to_best_device(student))


def in_own_words(teacher: Learner, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the teacher's answers, written greedily (sequence-level distillation; Kim and Rush, 2016).

    The paper's are found by beam search. Where the teacher writes nothing, or does not come to an end, the true answer
    stays; a row that has none is left out.
    """
    column = teacher.task.schema.answer.name
    written = write(teacher, teacher.encode(rows.drop(columns=column)))
    answers = [
        own if answer.cut or not answer.value else answer.value
        for answer, own in zip(written, rows[column], strict=True)
    ]
    return rows.assign(**{column: answers}).dropna(subset=[column]).reset_index(drop=True)


class TokenImitation(Strategy):
    """Distillation of the probabilities of tokens as a penalty; the teacher is in the update's ``cache``.

    ``soft`` times the divergence between the probabilities of the next token at ``temperature``, times its square
    (Hinton et al., 2015, section 2), a mean over the tokens of the answers. Of the teacher's, the most probable are
    recorded, once. Rows that the two models read otherwise are left out.
    """

    temperature: float
    soft: float

    def begin(self, update: Update) -> None:
        """Let the teacher read every row."""
        teacher, rows = update.cache["teacher"], update.lesson.rows
        theirs, ours = teacher.encode(rows), update.learner.encode(rows)
        recorded = most_probable(teacher, theirs, RECORDED, self.temperature)
        update.cache["said"] = {
            id: record
            for id, record, own, other in zip(rows["id"], recorded, ours, theirs, strict=True)
            if own.targets == other.targets
        }

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the weighted divergence, times the weights of the rows."""
        terms = []
        for index, own in enumerate(update.learner.task.by_row(step.logits, step.batch.targets)):
            if (said := update.cache["said"].get(step.ids[index])) is None:
                continue
            logs, tokens = (part.to(own.device) for part in said)
            row = divergence(logs, tokens, (own.float() / self.temperature).log_softmax(-1))
            terms.append(row if step.batch.weights is None else row * step.batch.weights[index])
        return self.soft * self.temperature**2 * torch.cat(terms).mean() if terms else None


def same_tokens(first: Learner, second: Learner) -> bool:
    """Return whether two models give probabilities of the same tokens."""
    wide = {learner.encoder.config.vocab_size for learner in (first, second)}
    return len(wide) == 1 and first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
