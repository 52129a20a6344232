"""Complete rows that are annotated for some entity types only: the champion says what their other words are.

An experience that annotates new types only tags every other word O, the entities of known types too: learned as they
are, they teach that nothing is one (the background shift). The champion's own tags stand in for what nobody annotated
(Monaikul et al., 2021, "Continual Learning for Named Entity Recognition", section 3, who distil its probabilities),
where it is certain of them (Zhang et al., 2023, "Continual Named Entity Recognition without Catastrophic Forgetting",
who set the threshold for each type at its median entropy). Words of which it is not certain are not learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from cl.models.persistence import load_learner
from cl.records import ANNOTATED
from cl.tasks.token_classification import UNKNOWN, annotated_types

if TYPE_CHECKING:
    from cl.models.learner import Learner

CERTAIN = 0.7
"""The probability from which the champion's tag of a word counts, given that it is of no annotated type."""
BATCH_SIZE = 64
Complete = Callable[[pd.DataFrame], pd.DataFrame]


def completing(champion: Path | None, *, solves_head: bool) -> Complete:
    """Return a function that completes training rows with the tags of a champion; all other rows stay as they are.

    A closed form leaves out what is not known: what it has summed must be the same when it is subtracted.

    Args:
        champion: folder of the version to ask; None: there is none yet.
        solves_head: whether a closed form learns the rows.
    """

    @cache
    def teacher() -> Learner:
        assert champion is not None
        return load_learner(champion)

    def complete(rows: pd.DataFrame) -> pd.DataFrame:
        partial = np.array([types is not None for types in annotated_types(rows)], dtype=bool)
        if solves_head or not partial.any():
            return rows
        if champion is None:
            return _trusted(rows, all_partial=bool(partial.all()))
        completed = rows.copy()
        positions = np.flatnonzero(partial)
        tags = complete_tags(teacher(), rows.iloc[positions])
        completed["tags"] = _replaced(rows["tags"], positions, tags)
        completed[ANNOTATED] = _replaced(rows[ANNOTATED], positions, [None] * len(tags))
        says_something = completed["tags"].map(lambda own: any(tag != UNKNOWN for tag in own)).astype(bool)
        return completed[says_something].reset_index(drop=True)

    return complete


@torch.inference_mode()
def complete_tags(champion: Learner, rows: pd.DataFrame) -> list[list[str]]:
    """Return the tags of rows that are annotated for some types, with those of which a champion is certain for each O.

    An O says that a word is of no annotated type: the champion's probabilities are read on that condition.
    """
    task, labels = champion.task, np.array(champion.labels)
    encoded, known = champion.encode(rows), annotated_types(rows)
    completed = [[UNKNOWN if tag == "O" else tag for tag in tags] for tags in rows["tags"]]
    for batch, states in champion.run(encoded, batch_size=BATCH_SIZE):
        logits = champion.read([layer.float() for layer in states], batch).float()
        probabilities = task.probabilities(logits).cpu().numpy()
        for position, row in enumerate(batch.rows):
            possible = ~np.isin([label[2:] for label in labels], list(known[row] or ()))
            words = probabilities[position][encoded[row].anchors] * possible
            shares = words / np.maximum(words.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            for word, best in enumerate(shares.argmax(axis=1)):
                if completed[row][word] == UNKNOWN and shares[word, best] >= CERTAIN:
                    completed[row][word] = str(labels[best])
    return completed


def _trusted(rows: pd.DataFrame, *, all_partial: bool) -> pd.DataFrame:
    """Return rows for a first model: where no row says of any word that it is no entity at all, an O says so."""
    every = {tag[2:] for tags in rows["tags"] for tag in tags if tag != "O"}
    says_outside = not all_partial or any(every <= (types or set()) for types in annotated_types(rows))
    return rows if says_outside else rows.drop(columns=ANNOTATED)


def _replaced(column: pd.Series, positions: np.ndarray, values: Sequence[object]) -> pd.Series:
    cells = column.tolist()
    for position, value in zip(positions, values, strict=True):
        cells[position] = value
    return pd.Series(cells, index=column.index, dtype=object)
