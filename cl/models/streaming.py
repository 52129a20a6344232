"""Write one answer piece by piece, as a stream."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import torch

from cl.models.decoding import GrowingText
from cl.models.learner import Learner
from cl.models.running_rows import running_rows


def stream_answer(learner: Learner, row: pd.DataFrame) -> Iterator[str]:
    """Yield the pieces of the answer to the prompt of a row; together they are what `write` writes, greedily.

    Nothing more is computed once nobody asks for the next piece.

    Args:
        learner: it must write its answers.
        row: a frame of one row.
    """
    (encoded,) = learner.encode(row)
    learner.eval_mode()
    running, tokens = running_rows(learner), list[int]()
    growing = GrowingText(lambda ids: str(learner.tokenizer.decode(list(ids), skip_special_tokens=True)))
    logits = running.join([encoded.context.prompt], [None])
    while True:
        token = _next_token(logits) if tokens or running.first_token is None else running.first_token
        tokens.append(token)
        yield from _unless_blank(growing.add(token))
        if token in learner.ends or len(tokens) >= learner.task.most_new_tokens:
            yield from _unless_blank(growing.end())
            return
        logits = running.step([token])


def _next_token(logits: torch.Tensor) -> int:
    return int(logits[0].argmax())


def _unless_blank(piece: str) -> Iterator[str]:
    if piece:
        yield piece
