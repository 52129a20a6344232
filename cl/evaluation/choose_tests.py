"""Choose the test rows of an evaluation: of a bounded number, however many experiences there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cl.records.past_scores import PastScores
from cl.stores.data.experiences import RowsOf
from cl.stores.data.fingerprints import hash_texts

FEWEST = 100
"""Rows of a past experience that are tested at least, as far as it has them: fewer say little about it."""
MOST_PAST = 100
"""Past experiences that are tested at a time: what is recorded of each would grow with the age of the project."""


@dataclass(frozen=True)
class ChosenTests:
    """Experience -> the test rows to answer, oldest first; and the experiences whose turn comes later."""

    rows: dict[str, pd.DataFrame]
    later: tuple[str, ...] = ()


def choose_tests(experiences: Sequence[str], rows_of: RowsOf, scores: PastScores, most: int | None) -> ChosenTests:
    """Return the test rows of the experiences, at most so many.

    What was never tested comes first, with half of the rows if there is a past. The past shares the rest evenly, but
    no experience gets fewer than `FEWEST` rows while it has more: where that leaves too few for all, or where there are
    more than `MOST_PAST` experiences, those that were tested longest ago come first, and the others follow in later
    updates. Of an experience with more rows than its share, those with the smallest hash of their id are taken, so that
    successive updates are compared on the same rows.

    Args:
        experiences: their ids, oldest first.
        rows_of: returns the rows of experiences (ids, split).
        scores: when each was last tested.
        most: rows in all; None: there is no limit.
    """
    new = [id for id in experiences if id not in scores.of]
    past = sorted((id for id in experiences if id in scores.of), key=lambda id: scores.of[id].tested)
    rows = {id: rows_of([id], "test") for id in new}
    if most is None:
        rows |= {id: rows_of([id], "test") for id in past}
        return ChosenTests({id: rows[id] for id in experiences})
    shares = share_evenly([len(rows[id]) for id in new], most // 2 if past else most)
    rest = most - sum(shares)
    needed = 0
    for id in past[:MOST_PAST]:
        if needed >= rest:
            break
        rows[id] = rows_of([id], "test")
        needed += min(len(rows[id]), FEWEST)
    tested = [id for id in past if id in rows]
    shares += share_evenly([len(rows[id]) for id in tested], rest)
    drawn = {id: _draw(rows[id], share) for id, share in zip([*new, *tested], shares, strict=True)}
    kept = [id for id in experiences if id in drawn]
    return ChosenTests({id: drawn[id] for id in kept}, tuple(id for id in experiences if id not in drawn))


def share_evenly(sizes: Sequence[int], total: int) -> list[int]:
    """Return how much of each size is taken, so that the total is not exceeded and the largest share is smallest.

    >>> share_evenly([10, 500, 300], 400)
    [10, 195, 195]
    """
    shares, left = [0] * len(sizes), total
    for done, index in enumerate(sorted(range(len(sizes)), key=lambda index: sizes[index])):
        shares[index] = min(sizes[index], left // (len(sizes) - done))
        left -= shares[index]
    return shares


def _draw(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    if count >= len(rows):
        return rows
    order = np.argsort(hash_texts(rows["id"].astype(str)), kind="stable")
    return rows.iloc[np.sort(order[:count])].reset_index(drop=True)
