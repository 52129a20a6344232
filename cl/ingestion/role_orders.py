"""Find conversations whose order of roles the chat template of the configured model refuses: training would stop."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cl.config import Config
from cl.errors import ConfigError
from cl.ingestion.values import one_line
from cl.models.locate import local_file
from cl.tasks import Task, ValueKind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_REASON = 160
"""Characters of a reason: it holds the template's own words."""


def refused_orders(rows: pd.DataFrame, config: Config, task: Task) -> dict[str, np.ndarray]:
    """Return which conversations the template refuses, by the reason; none where there is no template on this machine.

    Of each order of roles, the first conversation is rendered: what templates refuse is the order.

    Args:
        rows: with conversations, None where there is none, and answers.
        config: names the model.
        task: how conversations are put.
    """
    asked = task.schema.input
    if asked is None or asked.kind is not ValueKind.MESSAGES or not hasattr(task, "parts"):
        return {}
    config_file = local_file(config.model.name, "tokenizer_config.json")
    if config_file is None or getattr(task, "template", "plain") == "plain":
        return {}
    tokenizer = _tokenizer(config.model.name, config_file.stat().st_mtime_ns)
    if tokenizer is None or not tokenizer.chat_template:
        return {}
    reasons: dict[tuple[str, ...], str | None] = {}
    why = list[str | None]()
    for turns, answer in zip(rows[asked.name], rows[task.schema.answer.name], strict=True):
        if turns is None or answer is None:
            why.append(None)
            continue
        order = tuple(turn["role"] for turn in turns)
        if order not in reasons:
            reasons[order] = _why_refused(task, turns, answer, tokenizer)
        why.append(reasons[order] and f"{asked.name}: {reasons[order]}")
    return {
        reason: np.array([own == reason for own in why], dtype=bool)
        for reason in dict.fromkeys(why)
        if reason is not None
    }


def _why_refused(task: Any, turns: Any, answer: str, tokenizer: PreTrainedTokenizerBase) -> str | None:
    try:
        task.parts(turns, answer, tokenizer)
    except ConfigError as error:
        _, _, words = str(error).partition("its chat template ")
        return one_line(f"the chat template {words.rpartition(';')[0]}", MAX_REASON)
    return None


@functools.lru_cache(maxsize=1)
def _tokenizer(name: str, changed: int) -> PreTrainedTokenizerBase | None:
    """Return a model's tokenizer; None: it cannot be loaded, which training will say."""
    from cl.models.pretrained import load_tokenizer

    try:
        return load_tokenizer(name)
    except ConfigError:
        return None
