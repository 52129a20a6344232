"""Read cells that hold conversations, and split those whose last turn is the answer from it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from cl.config import Config
from cl.ingestion.values import as_text
from cl.tasks import Schema, ValueKind, as_turns, conversation_problem


def read_conversations(cells: pd.Series, name: str) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Return the conversation in each cell, None where there is none, and which cells hold another, by the reason.

    Args:
        cells: lists of turns, also in JSON.
        name: of the column.
    """
    values: list[Any] = []
    reasons: list[str | None] = []
    for cell, empty in zip(cells.tolist(), _are_empty(cells), strict=True):
        content = None if empty else _content(cell)
        problem = None if empty else conversation_problem(content)
        reasons.append(None if problem is None else f"{name}: {problem}")
        values.append(None if empty or problem else as_turns(content))
    return values, {
        reason: np.array([own == reason for own in reasons], dtype=bool)
        for reason in dict.fromkeys(reasons)
        if reason is not None
    }


def split_conversations(chunk: pd.DataFrame, config: Config, schema: Schema) -> pd.DataFrame:
    """Return rows in which the assistant's last turn is the answer, where a row brings no other.

    It is how services for fine-tuning take conversations: in a single column.
    """
    asked = schema.input
    if asked is None or asked.kind is not ValueKind.MESSAGES or config.data.name_of(asked.name) not in chunk:
        return chunk
    name, answer = config.data.name_of(asked.name), config.data.name_of(schema.answer.name)
    answers = chunk[answer].tolist() if answer in chunk else [None] * len(chunk)
    lacking = [text is None for text in as_text(pd.Series(answers, dtype=object))]
    if not any(lacking):
        return chunk
    before = chunk[name].tolist()
    for row in np.flatnonzero(lacking):
        content = _content(before[row])
        if conversation_problem(content, asks=False) is None and content[-1]["role"] == "assistant":
            before[row], answers[row] = list(content[:-1]), content[-1]["content"]
    columns = {name: before, answer: answers}
    return chunk.assign(
        **{column: pd.Series(values, index=chunk.index, dtype=object) for column, values in columns.items()}
    )


def _are_empty(cells: pd.Series) -> list[bool]:
    nested = [isinstance(cell, list | tuple | dict | np.ndarray) for cell in cells.tolist()]
    return [text is None and not listed for text, listed in zip(as_text(cells), nested, strict=True)]


def _content(cell: Any) -> Any:
    """Return what a cell holds; None for a text that is no JSON."""
    if not isinstance(cell, str):
        return cell.tolist() if isinstance(cell, np.ndarray) else cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None
