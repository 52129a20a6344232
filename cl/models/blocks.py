"""Texts that are longer than a language model reads at once, in blocks, each of which is read by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from cl.models.learner import Learner
from cl.tasks import Encoded


def in_blocks(learner: Learner, rows: pd.DataFrame, encoded: list[Encoded]) -> tuple[pd.DataFrame, list[Encoded]]:
    """Return rows as they are learned: where a task learns texts as a whole, a row for each block of a text."""
    if not learner.task.measures_texts:
        return rows, encoded
    blocks, places = cut_into_blocks(encoded, learner.settings.max_length)
    return rows.iloc[places].reset_index(drop=True), blocks


def cut_into_blocks(encoded: Sequence[Encoded], length: int) -> tuple[list[Encoded], list[int]]:
    """Return rows in blocks of at most ``length`` tokens, and the index of the row that each block is of.

    Of the rows of a language model, only those of texts that are learned as a whole are ever longer: target ``n`` of
    such a row is written after its token ``n``.

    >>> from cl.tasks._language_task import Written
    >>> row = Encoded([1, 5, 6], [5, 6, 2], [0, 1, 2], Written([1, 5, 6], [0, 1, 2], 0, 9))
    >>> blocks, rows = cut_into_blocks([row], 2)
    >>> [block.input_ids for block in blocks], [block.targets for block in blocks], rows
    ([[1, 5], [6]], [[5, 6], [2]], [0, 0])
    """
    blocks, rows = list[Encoded](), list[int]()
    for index, row in enumerate(encoded):
        own = [row] if len(row.input_ids) <= length else _blocks(row, length)
        blocks += own
        rows += [index] * len(own)
    return blocks, rows


def _blocks(row: Encoded, length: int) -> list[Encoded]:
    blocks = []
    for start in range(0, len(row.input_ids), length):
        ids, targets = row.input_ids[start : start + length], row.targets[start : start + length]
        positions = list(range(len(targets)))
        blocks.append(Encoded(ids, targets, positions, replace(row.context, positions=positions, start=start)))
    return blocks
