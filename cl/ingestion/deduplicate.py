"""Find repeated and contradicting rows, within a batch and against the whole stream."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from cl.stores.data.fingerprints import Fingerprints, KnownRows
from cl.stores.data.staging import KEPT
from cl.stores.data.tombstones import forgotten_mask


class RowOutcome(IntEnum):
    """Outcome of comparing a good row with all others."""

    KEPT = KEPT
    SEEN = 1
    REPEATED = 2
    DUPLICATE_ID = 3
    CONTRADICTING = 4


REASONS = {int(RowOutcome.DUPLICATE_ID): "duplicate id", int(RowOutcome.CONTRADICTING): "contradicting labels"}


def deduplicate(prints: Fingerprints, known: KnownRows, held_out: np.ndarray) -> np.ndarray:
    """Return the `RowOutcome` of each row of a new experience.

    A row is seen if an earlier experience holds it, or held it until it was forgotten. Of the rest, all inputs with
    more than one label are set aside, then later rows with the id of an earlier row, unless they repeat it exactly.

    Args:
        prints: the rows.
        known: the rows of all earlier experiences.
        held_out: which rows belong to a given validation or test split. Such a split stays whole: its rows are dropped
            only if an earlier experience has them under the same id, and none is set aside for contradicting another.
    """
    outcomes = np.full(len(prints.ids), RowOutcome.KEPT, dtype=np.int8)
    known_ids, known_contents = _is_known(prints.ids, known.ids), _is_known(prints.contents, known.contents)
    outcomes[known_ids] = RowOutcome.DUPLICATE_ID
    seen = np.where(held_out, _is_same_row(prints, known, known_ids & known_contents), known_contents)
    seen |= forgotten_mask(known.removed, prints.ids)
    outcomes[seen] = RowOutcome.SEEN
    compared = np.flatnonzero(~seen | held_out)
    contradicting = compared[_is_contradicting(prints.inputs[compared], prints.contents[compared])]
    outcomes[contradicting[~held_out[contradicting]]] = RowOutcome.CONTRADICTING
    remaining = np.flatnonzero(outcomes == RowOutcome.KEPT)
    outcomes[remaining] = _compare_within_batch(prints.ids[remaining], prints.contents[remaining])
    return outcomes


def count_leaks(prints: Fingerprints, known: KnownRows, outcomes: np.ndarray, held_out: np.ndarray) -> int:
    """Return how many kept rows of a given validation or test split have a text that is also in training.

    Of earlier experiences, rows count that have the same text and label.
    """
    kept = outcomes == RowOutcome.KEPT
    in_batch = np.isin(prints.inputs, prints.inputs[kept & ~held_out])
    return int(((in_batch | _is_known(prints.contents, known.contents)) & kept & held_out).sum())


def _is_same_row(prints: Fingerprints, known: KnownRows, candidates: np.ndarray) -> np.ndarray:
    """Return which of the candidates an earlier experience has with the same id and the same content."""
    if not candidates.any():
        return candidates
    pairs = [_pair(ids, contents) for ids, contents in zip(known.ids, known.contents, strict=True)]
    same: np.ndarray = candidates & _is_known(_pair(prints.ids, prints.contents), pairs)
    return same


def _pair(ids: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return one hash of two, which depends on their order; unsigned integers wrap around."""
    pairs: np.ndarray = ids * np.uint64(0x9E3779B97F4A7C15) + contents
    return pairs


def _is_known(values: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    """Return which values occur in any of the known arrays; only one of them is in memory at a time."""
    ordered = np.sort(values)
    matches = [np.empty(0, dtype=values.dtype)]
    for past in known if len(ordered) else []:
        indices = np.minimum(np.searchsorted(ordered, past), len(ordered) - 1)
        matches.append(np.unique(past[ordered[indices] == past]))
    return np.isin(values, np.concatenate(matches))


def _is_contradicting(inputs: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return which inputs have more than one label."""
    order = np.lexsort((contents, inputs))
    same_input = inputs[order][1:] == inputs[order][:-1]
    differs = same_input & (contents[order][1:] != contents[order][:-1])
    return np.isin(inputs, inputs[order][1:][differs])


def _compare_within_batch(ids: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return the outcome of each row, given the earlier rows with its id."""
    order = np.argsort(ids, kind="stable")
    starts = np.ones(len(ids), dtype=bool)
    starts[1:] = ids[order][1:] != ids[order][:-1]
    first = order[np.maximum.accumulate(np.where(starts, np.arange(len(ids)), 0))]
    outcomes = np.empty(len(ids), dtype=np.int8)
    outcomes[order] = np.where(contents[order] == contents[first], RowOutcome.REPEATED, RowOutcome.DUPLICATE_ID)
    outcomes[order[starts]] = RowOutcome.KEPT
    return outcomes
