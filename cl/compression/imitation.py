"""What a student takes over from its teacher: probabilities, states and attention, beside the labels themselves."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cl.compression.student import check_same_tokens
from cl.errors import ConfigError
from cl.models.batching import Batch, batch_by_length, collate
from cl.models.inference import BATCH_SIZE, pair_rows, sum_by_row
from cl.training.strategies import Step, Strategy, Update

if TYPE_CHECKING:
    import pandas as pd

    from cl.models.learner import Learner

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher makes of one row wherever there is a target: logits (predictions, labels), and for each layer
    that the student is compared with its states (predictions, width)."""

    logits: torch.Tensor
    states: list[torch.Tensor]


class Imitation(Strategy):
    """Distillation, as a penalty beside the loss of the labels; the teacher lies in the update's ``cache``.

    ``soft`` times the divergence between both models' probabilities at ``temperature``, times its square (Hinton et
    al., 2015, section 2); ``hidden`` times the squared distance between states of like depth, as a share of their own
    mean square (TinyBERT; Jiao et al., 2020, equation 8, without its projection: where widths differ there is no such
    term); ``attention`` times the divergence between the last layers' attention (MiniLM; Wang et al., 2020, equation
    5). Where we differ: states are compared where predictions are made, of a text its mean, so that a teacher is asked
    about each row once; attention, which would fill the memory, is asked for in every step.
    """

    temperature: float
    soft: float
    hidden: float
    attention: float
    layers: int

    @property
    def watched(self) -> int:
        """All of the student's layers, where states are compared."""
        return self.layers

    def begin(self, update: Update) -> None:
        """Ask the teacher about every row.

        Raises:
            ConfigError: attention is to be compared, and cannot be.
        """
        teacher, student, rows = update.cache["teacher"], update.learner, update.lesson.rows
        depths = match_layers(student.depth, teacher.depth) if self.layers else []
        update.cache["said"] = dict(zip(rows["id"], teacher_output(teacher, rows, depths), strict=True))
        if self.attention:
            if objection := _incomparable(student, teacher):
                raise ConfigError(f"distil.attention: the student has {objection}: set it to 0")
            update.cache["tokens"] = _in_the_teachers_words(student, teacher)
            update.cache["kernels"] = [one.encoder.config._attn_implementation for one in (teacher, student)]
            for one in (teacher, student):
                one.encoder.set_attn_implementation("eager")  # no other kernel shows its attention

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the weighted terms, each a mean over the batch's predictions."""
        told = [update.cache["said"][row] for row in step.ids]
        now, then = _together(step.logits, step.batch, [one.logits for one in told])
        loss = self.soft * divergence(now, then, self.temperature)
        for at, states in enumerate(step.states[-self.layers :] if self.layers else []):
            read = update.learner.task.features(states, step.batch.mask)
            now, then = _together(read, step.batch, [one.states[at] for one in told])
            share = functional.mse_loss(now, then) / then.square().mean().clamp(min=1e-12)
            loss = loss + self.hidden / self.layers * share
        if self.attention:
            loss = loss + self.attention * _attention_apart(update, step.batch)
        return loss

    def finish(self, update: Update) -> Learner:
        """Give both encoders their attention kernels back."""
        for one, kernel in zip(
            (update.cache["teacher"], update.learner), update.cache.get("kernels", []), strict=False
        ):
            one.encoder.set_attn_implementation(kernel)
        return update.learner


def divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the mean divergence of probabilities at a temperature, times its square: gradients stay of one size."""
    ours, theirs = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    return functional.kl_div(ours, theirs, reduction="batchmean") * temperature**2


def match_layers(student: int, teacher: int) -> list[int]:
    """Return which of the teacher's layers each of the student's is compared with: the last one of each equal part."""
    return [(part + 1) * teacher // student - 1 for part in range(student)]


@torch.inference_mode()
def teacher_output(teacher: Learner, rows: pd.DataFrame, layers: list[int]) -> list[TeacherOutput]:
    """Return what a teacher makes of rows, dropout off, on the CPU; states, which are many, in half the bytes."""
    teacher.eval_mode()
    encoded = teacher.encode(rows)
    found: dict[int, TeacherOutput] = {}
    for indices in batch_by_length([len(one.input_ids) for one in encoded], BATCH_SIZE):
        batch = collate(teacher.task, encoded, indices, teacher.tokenizer.pad_token_id, teacher.device)
        states = teacher.states(batch.input_ids, batch.mask, layers=teacher.depth if layers else None)
        logits = sum_by_row(teacher.read(states[-teacher.head.layers :], batch.mask).float().cpu(), batch.targets.cpu())
        read = [teacher.task.features(states[layer], batch.mask).to(torch.bfloat16).cpu() for layer in layers]
        each = [sum_by_row(one, batch.targets.cpu()) for one in read]
        for at, row in enumerate(indices):
            found[row] = TeacherOutput(logits[at].clone(), [one[at].clone() for one in each])
    return [found[row] for row in range(len(rows))]


def _together(now: torch.Tensor, batch: Batch, then: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what student and teacher make of a batch, one line a prediction."""
    pairs = [pair_rows(own, told) for own, told in zip(sum_by_row(now, batch.targets), then, strict=True)]
    ours, theirs = (torch.cat(part) for part in zip(*pairs, strict=True))
    return ours, theirs.float()


def _incomparable(student: Learner, teacher: Learner) -> str | None:
    """Return why the attention of two models cannot be compared, or None."""
    if not check_same_tokens(student, teacher):
        return "another vocabulary than its teacher, and attention is from token to token"
    ours, theirs = (one.encoder.config.num_attention_heads for one in (student, teacher))
    return None if ours == theirs else f"{ours} attention heads and its teacher {theirs}"


def _in_the_teachers_words(student: Learner, teacher: Learner) -> torch.Tensor:
    """Return the teacher's id of each of the student's tokens."""
    theirs = teacher.tokenizer.get_vocab()
    known = sorted(student.tokenizer.get_vocab().items(), key=lambda one: one[1])
    return torch.tensor([theirs[token] for token, _ in known], device=student.device)


def _attention_apart(update: Update, batch: Batch) -> torch.Tensor:
    """Return the mean divergence between the last layers' attention, over heads and real tokens."""

    def last(learner: Learner, ids: torch.Tensor) -> torch.Tensor:
        return learner.encoder(input_ids=ids, attention_mask=batch.mask, output_attentions=True).attentions[-1].float()

    ours = last(update.learner, batch.input_ids)
    with torch.no_grad():
        theirs = last(update.cache["teacher"], update.cache["tokens"][batch.input_ids])
    apart = (theirs * (theirs.clamp(min=1e-9).log() - ours.clamp(min=1e-9).log())).sum(-1).mean(1)
    return apart[batch.mask.bool()].mean()
