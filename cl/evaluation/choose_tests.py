"""Choose the test rows of an evaluation: of a bounded number, however many experiences there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
SMALL = 1_000
"""Test rows of an experience that is read together with others: to turn each into a frame costs more than its rows."""


@dataclass(frozen=True)
class ChosenTests:
    """Experience -> the test rows to answer, oldest first; and the experiences whose turn comes later."""

    rows: dict[str, pd.DataFrame]
    later: tuple[str, ...] = ()


def choose_tests(
    experiences: Sequence[str],
    rows_of: RowsOf,
    scores: PastScores,
    most: int | None,
    sizes: Mapping[str, int] | None = None,
) -> ChosenTests:
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
        sizes: how many test rows each experience has, so that all can be read at once; None: it is not known.
    """
    rows = dict[str, pd.DataFrame]()

    def size(id: str) -> int:
        if sizes is not None:
            return sizes[id]
        rows[id] = rows[id] if id in rows else rows_of([id], "test")
        return len(rows[id])

    new = [id for id in experiences if id not in scores.of]
    past = sorted((id for id in experiences if id in scores.of), key=lambda id: scores.of[id].tested)
    if most is None:
        return ChosenTests(_read(experiences, rows_of, size, rows))
    shares = share_evenly([size(id) for id in new], most // 2 if past else most)
    rest, needed, tested = most - sum(shares), 0, list[str]()
    for id in past[:MOST_PAST]:
        if needed >= rest:
            break
        tested.append(id)
        needed += min(size(id), FEWEST)
    shares += share_evenly([size(id) for id in tested], rest)
    rows = _read([*new, *tested], rows_of, size, rows)
    drawn = {id: draw_by_hash(rows[id], share) for id, share in zip([*new, *tested], shares, strict=True)}
    kept = [id for id in experiences if id in drawn]
    return ChosenTests({id: drawn[id] for id in kept}, tuple(id for id in experiences if id not in drawn))


def _read(
    ids: Sequence[str], rows_of: RowsOf, size: Callable[[str], int], known: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return the test rows of each experience: those that are ``known``, and the small ones of the others at once."""
    small = [id for id in ids if id not in known and size(id) <= SMALL]
    rows = dict(known)
    if small:
        together, start = rows_of(small, "test"), 0
        if len(together) == sum(map(size, small)):
            for id in small:
                rows[id] = together.iloc[start : start + size(id)].reset_index(drop=True)
                start += size(id)
    return {id: rows[id] if id in rows else rows_of([id], "test") for id in ids}


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


def choose_written(rows: Mapping[str, pd.DataFrame], most: int | None) -> dict[str, pd.DataFrame]:
    """Return the test rows of each experience that are answered by writing, at most so many in all; None: all of them.

    Experiences share them evenly, and of each, those with the smallest hash of their id are taken: of a row that is
    written now, an earlier update that tested the same rows has written an answer as well.
    """
    if most is None:
        return dict(rows)
    shares = share_evenly([len(own) for own in rows.values()], most)
    return {id: draw_by_hash(own, share) for (id, own), share in zip(rows.items(), shares, strict=True)}


def draw_by_hash(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return so many rows, those with the smallest hash of their id, in their order."""
    if count >= len(rows):
        return rows
    order = np.argsort(hash_texts(rows["id"].astype(str)), kind="stable")
    return rows.iloc[np.sort(order[:count])].reset_index(drop=True)
