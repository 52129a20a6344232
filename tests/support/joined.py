"""Rows that are written together, each joining with a step of its own, and what each says alone."""

from __future__ import annotations

import pandas as pd
import torch

from cl.models.generation import write
from cl.models.learner import Learner
from cl.models.low_rank import LowRankUpdate
from cl.models.running_rows import RunningRows, running_rows

ROWS = pd.DataFrame(
    {
        "prompt": [
            "where is my card",
            "please help me",
            "the old box is broken and my money is lost",
            "pay",
            "send the new shoe back to york on tuesday please",
        ]
    }
)
LIMIT = 12


def written(learner: Learner, running: type[RunningRows] | None, updates: list[LowRankUpdate | None]) -> list[str]:
    """What is written where a row joins with every step, as far as that is possible."""
    prompts = [row.context.prompt for row in learner.encode(ROWS)]
    tokens: list[list[int]] = [[] for _ in prompts]
    groups: list[tuple[RunningRows, list[int]]] = []
    left = list(range(len(prompts)))

    def take(rows: list[int], logits: torch.Tensor) -> None:
        for row, token in zip(rows, logits.argmax(-1).tolist(), strict=True):
            tokens[row].append(token)

    while left or any(rows for _, rows in groups):
        for group, rows in groups:
            if rows:
                take(rows, group.step([tokens[row][-1] for row in rows]))
        if left:
            if not groups or not groups[-1][0].takes_more:
                groups.append((running(learner) if running else running_rows(learner), []))
            group, rows = groups[-1]
            row = left.pop(0)
            take([row], group.join([prompts[row]], [updates[row]]))
            rows.append(row)
        for group, rows in groups:
            ended = [tokens[row][-1] in learner.ends or len(tokens[row]) == LIMIT for row in rows]
            kept = [at for at in range(len(rows)) if not ended[at]]
            group.keep(kept)
            rows[:] = [rows[at] for at in kept]
    return [learner.tokenizer.decode(own, skip_special_tokens=True).strip() for own in tokens]


def alone(learner: Learner) -> list[str]:
    """What is written of each row alone."""
    return [write(learner, [row])[0].value for row in learner.encode(ROWS)]
