"""Which rows are new: repeats and contradictions, in the batch and against the whole stream."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from cl.stores.data.fingerprints import Fingerprints, KnownRows
from cl.stores.data.staging import KEPT
from cl.stores.data.tombstones import are_forgotten


class RowOutcome(IntEnum):
    """What becomes of a good row when it is compared with all others."""

    KEPT = KEPT
    SEEN = 1
    REPEATED = 2
    DUPLICATE_ID = 3
    CONTRADICTING = 4


REASONS = {int(RowOutcome.DUPLICATE_ID): "duplicate id", int(RowOutcome.CONTRADICTING): "contradicting labels"}


def deduplicate(prints: Fingerprints, known: KnownRows) -> np.ndarray:
    """Return what becomes of each row of a coming experience.

    Seen is what an earlier experience holds, or held until it was forgotten; of the rest, inputs with more than one
    answer are all set aside, then later rows with the id of an earlier one, unless they only repeat it.
    """
    fate = np.full(len(prints.ids), RowOutcome.KEPT, dtype=np.int8)
    fate[_among(prints.ids, known.ids)] = RowOutcome.DUPLICATE_ID
    seen = _among(prints.contents, known.contents) | are_forgotten(known.removed, prints.ids)
    fate[seen] = RowOutcome.SEEN
    fresh = np.flatnonzero(~seen)
    fate[fresh[_ambiguous(prints.inputs[fresh], prints.contents[fresh])]] = RowOutcome.CONTRADICTING
    left = np.flatnonzero(fate == RowOutcome.KEPT)
    fate[left] = _repeats(prints.ids[left], prints.contents[left])
    return fate


def _among(values: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    """Tell which values occur in any of the known arrays, one of which is in memory at a time."""
    ordered = np.sort(values)
    found = [np.empty(0, dtype=values.dtype)]
    for past in known if len(ordered) else []:
        place = np.minimum(np.searchsorted(ordered, past), len(ordered) - 1)
        found.append(np.unique(past[ordered[place] == past]))
    return np.isin(values, np.concatenate(found))


def _ambiguous(inputs: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Tell which inputs have more than one answer."""
    order = np.lexsort((contents, inputs))
    same_input = inputs[order][1:] == inputs[order][:-1]
    differs = same_input & (contents[order][1:] != contents[order][:-1])
    return np.isin(inputs, inputs[order][1:][differs])


def _repeats(ids: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return the fate of each row by the earlier rows with its id."""
    order = np.argsort(ids, kind="stable")
    starts = np.ones(len(ids), dtype=bool)
    starts[1:] = ids[order][1:] != ids[order][:-1]
    first = order[np.maximum.accumulate(np.where(starts, np.arange(len(ids)), 0))]
    fate = np.empty(len(ids), dtype=np.int8)
    fate[order] = np.where(contents[order] == contents[first], RowOutcome.REPEATED, RowOutcome.DUPLICATE_ID)
    fate[order[starts]] = RowOutcome.KEPT
    return fate
