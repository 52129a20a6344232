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


def deduplicate(prints: Fingerprints, known: KnownRows) -> np.ndarray:
    """Return the `RowOutcome` of each row of a new experience.

    A row is seen if an earlier experience holds it, or held it until it was forgotten. Of the rest, all inputs with
    more than one label are set aside, then later rows with the id of an earlier row, unless they repeat it exactly.
    """
    outcomes = np.full(len(prints.ids), RowOutcome.KEPT, dtype=np.int8)
    outcomes[_is_known(prints.ids, known.ids)] = RowOutcome.DUPLICATE_ID
    seen = _is_known(prints.contents, known.contents) | forgotten_mask(known.removed, prints.ids)
    outcomes[seen] = RowOutcome.SEEN
    fresh = np.flatnonzero(~seen)
    outcomes[fresh[_is_contradicting(prints.inputs[fresh], prints.contents[fresh])]] = RowOutcome.CONTRADICTING
    remaining = np.flatnonzero(outcomes == RowOutcome.KEPT)
    outcomes[remaining] = _compare_within_batch(prints.ids[remaining], prints.contents[remaining])
    return outcomes


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
