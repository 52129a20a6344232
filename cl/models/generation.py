"""Let a language model write: greedily, so that the same prompt has the same answer; or read answers that are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from transformers import GenerationConfig

from cl.models.answers import Answers
from cl.models.batching import batch_by_length
from cl.models.blocks import cut_into_blocks
from cl.models.learner import Learner
from cl.process.progress import meter
from cl.tasks import IGNORED, Encoded, Prediction, Task

ROWS_AT_ONCE = 8
"""Rows of a batch: each position has a probability for every token of a large vocabulary."""


@dataclass(frozen=True)
class ReadAnswers:
    """What a model thinks of true answers.

    ``loss`` is the mean cross-entropy of their tokens, NaN if there are none; ``losses`` the mean of each row's tokens,
    and ``brier`` each row's Brier score, 0 to 2, the mean of those of its tokens; both are 0 for a row without an
    answer.
    """

    loss: float
    losses: np.ndarray
    brier: np.ndarray

    @property
    def score(self) -> float | None:
        """The geometric mean of the probabilities of all tokens, 0 to 1; None: there are none."""
        return None if math.isnan(self.loss) else math.exp(-self.loss)


def answer_in_words(learner: Learner, rows: pd.DataFrame) -> Answers:
    """Answer rows by writing, and read the true answers, where rows have any, for the loss and the Brier scores.

    Where a task scores rows by their true answers alone, rows that have some are not answered.
    """
    encoded = learner.encode(rows)
    read = read_answers(learner, encoded)
    task = learner.task
    if task.measures_texts or (task.reads_answers and task.schema.answer.name in rows):
        predictions = rate(task, encoded, read)
    else:
        predictions = write(learner, encoded)
    nothing = np.zeros((len(encoded), 0), dtype=np.float32)
    return Answers(predictions, nothing, read.loss, read.brier, learner.targets, read.losses)


@torch.inference_mode()
def read_answers(learner: Learner, encoded: list[Encoded]) -> ReadAnswers:
    """Run a model over prompts with their true answers: one pass, where writing takes one for each token."""
    blocks, rows = cut_into_blocks(encoded, learner.settings.max_length)
    brier, losses, tokens = np.zeros((3, len(encoded)))
    loss, counted = 0.0, 0
    for batch, (logits,) in learner.run(blocks, batch_size=ROWS_AT_ONCE):
        known = batch.targets != IGNORED
        logs = logits.float().log_softmax(-1)
        own = logs.gather(-1, batch.targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        loss -= float(own[known].sum())
        counted += int(known.sum())
        distances = logs.exp().square().sum(-1) + 1 - 2 * own.exp()
        own_rows = [rows[block] for block in batch.rows]
        sums = ((brier, (distances * known).sum(1)), (losses, -(own * known).sum(1)), (tokens, known.sum(1)))
        for total, part in sums:
            np.add.at(total, own_rows, part.cpu().numpy())
    lengths = np.maximum(tokens, 1).astype(np.float32)
    means = [(total.astype(np.float32) / lengths).astype(float) for total in (losses, brier)]
    return ReadAnswers(loss / counted if counted else math.nan, *means)


def rate(task: Task, encoded: list[Encoded], read: ReadAnswers) -> list[Prediction]:
    """Return what a task answers to rows that were read: how probable the true answers, or the texts, are."""
    return [task.rate(row, float(loss)) for row, loss in zip(encoded, read.losses, strict=True)]


@torch.inference_mode()
def write(learner: Learner, encoded: list[Encoded]) -> list[Prediction]:
    """Return what a model writes after prompts, at most as many tokens as its task allows, in the rows' order.

    The confidence is the geometric mean of the probabilities of the tokens, with the one that ends the answer.
    """
    learner.eval_mode()
    predictions: list[Prediction] = [Prediction("", 1.0)] * len(encoded)
    prompts = [row.context.prompt for row in encoded]
    with meter(len(encoded), "rows") as done:
        for rows in batch_by_length([len(prompt) for prompt in prompts], ROWS_AT_ONCE):
            answers = _write_batch(learner, [prompts[row] for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                predictions[row] = answer
            done.advance(len(rows))
    return predictions


def _write_batch(learner: Learner, prompts: list[list[int]]) -> list[Prediction]:
    model, pad = learner.encoder, learner.tokenizer.pad_token_id
    length = max(map(len, prompts))
    before = not learner.has_decoder  # what is written goes on where the prompt ends
    ids = torch.full((len(prompts), length), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        inside = slice(length - len(prompt), length) if before else slice(0, len(prompt))
        ids[row, inside], mask[row, inside] = torch.tensor(prompt), 1
    with learner.in_own_format():
        out = model.generate(  # type: ignore[operator]
            input_ids=ids.to(learner.device),
            attention_mask=mask.to(learner.device),
            generation_config=_settings(learner),
        )
    written = out.sequences[:, length:] if before else out.sequences[:, 1:]
    logs = torch.stack([step.float().log_softmax(-1) for step in out.logits], dim=1)
    chances = logs.gather(-1, written.unsqueeze(-1)).squeeze(-1).tolist()
    answers = []
    for tokens, own in zip(written.tolist(), chances, strict=True):
        ends = next((index + 1 for index, token in enumerate(tokens) if token in learner.ends), None)
        cut, ends = ends is None and len(tokens) >= learner.task.most_new_tokens, ends or len(tokens)
        answers.append(_prediction(learner, tokens[:ends], own[:ends], cut=cut))
    return answers


def _settings(learner: Learner) -> GenerationConfig:
    """Return how answers are written: greedily, whatever the checkpoint suggests."""
    suggested = learner.encoder.generation_config
    starts = {
        name: getattr(suggested, name, None)
        for name in ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id")
    }
    return GenerationConfig(
        max_new_tokens=learner.task.most_new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        pad_token_id=learner.tokenizer.pad_token_id,
        eos_token_id=learner.ends,
        return_dict_in_generate=True,
        output_logits=True,
        **starts,
    )


def _prediction(learner: Learner, tokens: list[int], logs: list[float], *, cut: bool) -> Prediction:
    text = str(learner.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
    return Prediction(text, float(np.exp(np.mean(logs))), cut=cut)
