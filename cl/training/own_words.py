"""Targets in a model's own words: before it learns new rows, it writes each answer as it would itself.

Training on what a model is likely to say moves it less than training on what others have said (SDFT; Yang et al., 2024,
"Self-Distillation Bridges Distribution Gap in Language Model Fine-Tuning", section 3.2).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.heavy import np, pd

if TYPE_CHECKING:
    from cl.models.learner import Learner

log = logging.getLogger(__name__)
TEMPLATE = """Below are an instruction and a reference answer to it. Using the reference answer as a guide, write your \
own answer.

Instruction:
{asked}

Reference answer:
{answer}

Your answer:"""
"""After the paper's figure 3."""
AT_ONCE = 64
"""Rows after which what was written is stored."""
FURTHER = 1_000_000
"""More tokens than any prompt has."""


def rewrite_targets(learner: Learner, rows: pd.DataFrame, *, least: float, kept: Path) -> pd.DataFrame:
    """Return rows with their targets in a model's own words, where these are as good; the others keep theirs.

    The model reads each prompt with the true answer as a reference, and writes greedily, so that the same rows have the
    same words. Its answer is taken if the task's metric (chrF where that is ``nll``) says that it is like the true one.
    It is not where it is blank, does not come to an end, or where prompt and reference are longer than the model reads.

    Args:
        learner: the model that the update starts from.
        rows: the new rows.
        least: the score from which an answer is taken, 0 to 1.
        kept: the file in which what was written is stored as it is written; a resumed run reads it.
    """
    column, task = learner.task.schema.answer.name, learner.task
    asked = _asked(learner, rows)
    written = _write(learner, asked, rows, kept)
    truths = rows[column].tolist()
    judge = task.model_copy(update={"metric": "chrf"}) if task.reads_answers else task
    candidates = [truth if text is None else text for truth, text in zip(truths, written, strict=True)]
    scores = judge.row_scores(rows, candidates)
    taken = np.array([text is not None for text in written], dtype=bool) & (scores >= least)
    log.info("%d of %d new targets are learned in the model's own words", int(taken.sum()), len(rows))
    answers = [text if own else truth for text, own, truth in zip(candidates, taken, truths, strict=True)]
    return rows.assign(**{column: answers})


def _asked(learner: Learner, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the prompts by which a model is asked for its own words."""
    (column,), answer = learner.task.schema.input_names, learner.task.schema.answer.name
    prompts = [_with_reference(asked, own) for asked, own in zip(rows[column], rows[answer], strict=True)]
    return pd.DataFrame({column: pd.Series(prompts, dtype=object)})


def _with_reference(asked: Any, answer: str) -> Any:
    """Return a prompt, or the messages of a conversation, with the true answer to what was said last."""
    if isinstance(asked, str):
        return TEMPLATE.format(asked=asked, answer=answer)
    *before, last = asked
    return [*before, {**last, "content": TEMPLATE.format(asked=last["content"], answer=answer)}]


def _write(learner: Learner, asked: pd.DataFrame, rows: pd.DataFrame, kept: Path) -> Sequence[str | None]:
    """Return what a model writes to each prompt; None: nothing that could be learned."""
    from cl.models.generation import write

    keys = [
        hashlib.sha256(json.dumps([id, prompt]).encode()).hexdigest()
        for id, prompt in zip(rows["id"], asked.iloc[:, 0], strict=True)
    ]
    done: dict[str, str | None] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    encoded, whole = learner.encode(asked), learner.encode_further(asked, FURTHER)
    fits = [len(own.context.prompt) == len(other.context.prompt) for own, other in zip(encoded, whole, strict=True)]
    kept.parent.mkdir(parents=True, exist_ok=True)
    left = [index for index, key in enumerate(keys) if fits[index] and key not in done]
    for first in range(0, len(left), AT_ONCE):
        part = left[first : first + AT_ONCE]
        for index, answer in zip(part, write(learner, [encoded[index] for index in part]), strict=True):
            done[keys[index]] = None if answer.cut or not answer.value else answer.value
        draft = kept.with_name(f"{kept.name}.new")
        draft.write_text(json.dumps(done), encoding="utf-8")
        draft.replace(kept)
    return [done.get(key) for key in keys]
