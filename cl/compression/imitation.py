"""Distillation losses: a student imitates its teacher's probabilities, states and attention, in addition to labels."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cl.compression.student import share_vocabulary
from cl.errors import ConfigError
from cl.models.inference import BATCH_SIZE, overlapping_logits
from cl.tasks import Batch, Task
from cl.training.strategies import State, Step, Strategy, Update

if TYPE_CHECKING:
    import pandas as pd

    from cl.models.learner import Learner

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherOutput:
    """A teacher's output for one row's targets.

    ``logits`` are (predictions, labels), ``states`` (predictions, width) for each layer that the student is compared
    with.
    """

    logits: torch.Tensor
    states: list[torch.Tensor]


class Imitation(Strategy):
    """Distillation as a penalty in addition to the label loss; the teacher is in the update's ``cache``.

    ``soft`` times the divergence between both models' probabilities at ``temperature``, times its square (Hinton et
    al., 2015, section 2); ``hidden`` times the squared distance between states of matching depth, relative to the
    teacher's mean square (TinyBERT; Jiao et al., 2020, equation 8, without its projection: if widths differ, this term
    is left out); ``attention`` times the divergence between the last layers' attention (MiniLM; Wang et al., 2020,
    equation 5). Deviations: states are compared only where predictions are made (for a text, their mean), so that the
    teacher reads each row once; attention, which would fill the memory, is recomputed in every step.
    """

    temperature: float
    soft: float
    hidden: float
    attention: float
    layers: int

    @property
    def watched(self) -> int:
        """All of the student's layers if states are compared, else none."""
        return self.layers

    def begin(self, update: Update) -> None:
        """Run the teacher on every row.

        Raises:
            ConfigError: attention is to be compared and the two models do not allow it.
        """
        teacher, student, rows = update.cache["teacher"], update.learner, update.lesson.rows
        depths = match_layers(student.depth, teacher.depth) if self.layers else []
        update.cache["said"] = dict(zip(rows["id"], teacher_output(teacher, rows, depths), strict=True))
        if self.attention:
            if student.windows or teacher.windows:
                raise ConfigError("distil.attention: texts are read in windows (model.windows): set it to 0")
            if mismatch := _attention_mismatch(student, teacher):
                raise ConfigError(f"distil.attention: the student has {mismatch}: set it to 0")
            update.cache["tokens"] = _teacher_token_ids(student, teacher)
            update.cache["kernels"] = [model.encoder.config._attn_implementation for model in (teacher, student)]
            for model in (teacher, student):
                model.encoder.set_attn_implementation("eager")  # no other kernel returns its attention

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the weighted terms, each a mean over the batch's predictions, times the weights of their rows."""
        expected = [update.cache["said"][row] for row in step.ids]
        task = update.learner.task
        now, then, weights = _align_outputs(task, step.logits, step.batch, [output.logits for output in expected])
        loss = self.soft * divergence(now, then, self.temperature, weights)
        for index, states in enumerate(step.states[-self.layers :] if self.layers else []):
            features = update.learner.features(states, step.batch)
            now, then, weights = _align_outputs(
                task, features, step.batch, [output.states[index] for output in expected]
            )
            distance = _mean_square(now, then, weights) / then.square().mean().clamp(min=1e-12)
            loss = loss + self.hidden / self.layers * distance
        if self.attention:
            loss = loss + self.attention * _attention_divergence(update, step.batch)
        return loss

    def end(self, update: Update) -> State:
        """Restore both encoders' attention kernels."""
        for model, kernel in zip(
            (update.cache["teacher"], update.learner), update.cache.get("kernels", []), strict=False
        ):
            model.encoder.set_attn_implementation(kernel)
        return update.state


def divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean divergence of probabilities at a temperature, times its square to keep the scale of gradients.

    The divergence of each line is multiplied by its weight; None: each counts once.
    """
    ours, theirs = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    if weights is None:
        return functional.kl_div(ours, theirs, reduction="batchmean") * temperature**2
    return (functional.kl_div(ours, theirs, reduction="none").sum(-1) * weights).mean() * temperature**2


def _mean_square(now: torch.Tensor, then: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    if weights is None:
        return functional.mse_loss(now, then)
    return ((now - then).square().mean(-1) * weights).mean()


def match_layers(student: int, teacher: int) -> list[int]:
    """Return the teacher layer to compare with each student layer: the last one of each equal part."""
    return [(part + 1) * teacher // student - 1 for part in range(student)]


@torch.inference_mode()
def teacher_output(teacher: Learner, rows: pd.DataFrame, layers: list[int]) -> list[TeacherOutput]:
    """Return a teacher's output for rows, dropout off, on the CPU; states are in bfloat16 to save memory."""
    encoded = teacher.encode(rows)
    outputs: dict[int, TeacherOutput] = {}
    for batch, states in teacher.run(encoded, batch_size=BATCH_SIZE, layers=teacher.depth if layers else None):
        targets, by_row = batch.targets.cpu(), teacher.task.by_row
        logits = by_row(teacher.read(states[-teacher.head.layers :], batch).float().cpu(), targets)
        features = [teacher.features(states[layer], batch).to(torch.bfloat16).cpu() for layer in layers]
        by_layer = [by_row(layer, targets) for layer in features]
        for index, row in enumerate(batch.rows):
            outputs[row] = TeacherOutput(logits[index].clone(), [layer[index].clone() for layer in by_layer])
    return [outputs[row] for row in range(len(rows))]


def _align_outputs(
    task: Task, now: torch.Tensor, batch: Batch, then: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the student's and the teacher's output for a batch, and its weights: a line for each prediction."""
    pairs = [
        overlapping_logits(ours, theirs) for ours, theirs in zip(task.by_row(now, batch.targets), then, strict=True)
    ]
    ours, theirs = (torch.cat(part) for part in zip(*pairs, strict=True))
    if batch.weights is None:
        return ours, theirs.float(), None
    counts = torch.tensor([len(part) for part, _ in pairs], device=batch.weights.device)
    return ours, theirs.float(), batch.weights.repeat_interleave(counts)


def _attention_mismatch(student: Learner, teacher: Learner) -> str | None:
    """Return why the attention of two models cannot be compared, or None."""
    if not share_vocabulary(student, teacher):
        return "another vocabulary than its teacher, and attention is between tokens"
    ours, theirs = (model.encoder.config.num_attention_heads for model in (student, teacher))
    return None if ours == theirs else f"{ours} attention heads and its teacher {theirs}"


def _teacher_token_ids(student: Learner, teacher: Learner) -> torch.Tensor:
    """Return the teacher's id for each of the student's tokens."""
    theirs = teacher.tokenizer.get_vocab()
    known = sorted(student.tokenizer.get_vocab().items(), key=lambda item: item[1])
    return torch.tensor([theirs[token] for token, _ in known], device=student.device)


def _attention_divergence(update: Update, batch: Batch) -> torch.Tensor:
    """Return the mean divergence between the last layers' attention, over heads and real tokens."""

    def last(learner: Learner, ids: torch.Tensor) -> torch.Tensor:
        with learner.in_own_format():
            out = learner.encoder(input_ids=ids, attention_mask=batch.mask, output_attentions=True)
        result: torch.Tensor = out.attentions[-1].float()
        return result

    ours = last(update.learner, batch.input_ids)
    with torch.no_grad():
        theirs = last(update.cache["teacher"], update.cache["tokens"][batch.input_ids])
    distances = (theirs * (theirs.clamp(min=1e-9).log() - ours.clamp(min=1e-9).log())).sum(-1).mean(1)
    if batch.weights is not None:
        distances = distances * batch.weights[:, None]
    return distances[batch.mask.bool()].mean()
