"""Find repeated, contradicting and corrected rows, within a batch and against the whole stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from cl.ingestion.label_cells import SEVERAL
from cl.stores.data.fingerprints import Fingerprints, KnownRows, is_known, pair_hashes
from cl.stores.data.staging import KEPT
from cl.stores.data.tombstones import forgotten_mask


class RowOutcome(IntEnum):
    """Outcome of comparing a good row with all others."""

    KEPT = KEPT
    SEEN = 1
    REPEATED = 2
    FORGOTTEN = 3
    DUPLICATE_ID = 4
    CONTRADICTING = 5
    CHANGED = 6
    RELABELLED = 7
    SEVERAL_LABELS = 8
    OUTDATED = 9


REASONS = {
    int(RowOutcome.DUPLICATE_ID): "duplicate id",
    int(RowOutcome.CONTRADICTING): "contradicting labels",
    int(RowOutcome.CHANGED): "known id with another text or label",
    int(RowOutcome.RELABELLED): "known text with another label",
    int(RowOutcome.SEVERAL_LABELS): SEVERAL,
}
SKIPPED = {
    RowOutcome.SEEN: "seen before",
    RowOutcome.FORGOTTEN: "forgotten on purpose",
    RowOutcome.OUTDATED: "corrected since",
}
"""Why rows are left out without being set aside."""
CORRECTABLE = {REASONS[RowOutcome.CHANGED], REASONS[RowOutcome.RELABELLED]}
"""Reasons of rows that `cl ingest --corrections` takes in place of the earlier ones."""
WITHIN_BATCH = {REASONS[RowOutcome.DUPLICATE_ID], REASONS[RowOutcome.CONTRADICTING]}
"""Reasons of rows that contradict others of the same input."""
NONE = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class ComparedRows:
    """The `RowOutcome` of each row of a new experience, and which of the kept ones replace earlier rows."""

    outcomes: np.ndarray
    corrections: np.ndarray

    def count(self, outcome: RowOutcome) -> int:
        """Return the number of rows with an outcome."""
        return int((self.outcomes == outcome).sum())

    @property
    def kept(self) -> np.ndarray:
        """Which rows are kept."""
        mask: np.ndarray = self.outcomes == RowOutcome.KEPT
        return mask


def deduplicate(
    prints: Fingerprints,
    known: KnownRows,
    held_out: np.ndarray,
    *,
    take_corrections: bool,
    several: np.ndarray,
    replaced: Callable[[], np.ndarray] = lambda: NONE,
) -> ComparedRows:
    """Compare the rows of a new experience with each other and with the whole stream.

    A row is the same as another if its input and its label are the same, whatever their ids; one that is the same as a
    description of its label is still a row that somebody has labelled, and stays. Of the rows that were
    neither forgotten nor seen before nor corrected since, those that contradict an earlier row, by its id or its text,
    are set aside or replace it; then all inputs of the batch with more than one label are set aside, then later rows
    with the id of an earlier row.

    Args:
        prints: the rows.
        known: the rows of all earlier experiences.
        held_out: which rows belong to a given validation or test split. Such a split stays whole: its rows are dropped
            only if an earlier experience has them under the same id, and none is set aside for contradicting another.
        take_corrections: rows with a known id, or a known text, and another label or text replace the earlier rows.
        replaced: returns `pair_hashes` of rows that corrections have replaced: a source that is read again still has
            them. It is asked only if a row contradicts an earlier one.
        several: which rows have a label that lists several; they are set aside before anything else.
    """
    outcomes = np.full(len(prints.ids), RowOutcome.KEPT, dtype=np.int8)
    known_ids, known_contents = is_known(prints.ids, known.ids), is_known(prints.contents, known.contents)
    same_rows = _is_same_row(prints, known, known_ids & known_contents)
    changed = known_ids & ~same_rows
    labelled = is_known(prints.contents, known.labelled_contents) if known.describing else known_contents
    seen = np.where(held_out, same_rows, labelled)
    relabelled = is_known(prints.inputs, known.inputs) & ~known_contents & ~held_out
    outcomes[relabelled] = RowOutcome.RELABELLED
    outcomes[changed] = RowOutcome.CHANGED
    outdated = changed | relabelled
    if outdated.any():
        outdated &= np.isin(pair_hashes(prints.ids, prints.contents), replaced())
    corrections = (changed | relabelled) & ~outdated & take_corrections
    outcomes[corrections] = RowOutcome.KEPT
    outcomes[seen & ~corrections] = RowOutcome.SEEN
    outcomes[outdated] = RowOutcome.OUTDATED
    outcomes[forgotten_mask(known.removed, prints.ids)] = RowOutcome.FORGOTTEN
    outcomes[several & (outcomes != RowOutcome.FORGOTTEN)] = RowOutcome.SEVERAL_LABELS
    left_out = np.isin(outcomes, [*SKIPPED, RowOutcome.SEVERAL_LABELS])
    compared = np.flatnonzero(~left_out | held_out & ~several)
    contradicting = compared[_is_contradicting(prints.inputs[compared], prints.contents[compared])]
    contradicting = contradicting[~held_out[contradicting] & (outcomes[contradicting] == RowOutcome.KEPT)]
    outcomes[contradicting] = RowOutcome.CONTRADICTING
    remaining = np.flatnonzero(outcomes == RowOutcome.KEPT)
    outcomes[remaining] = _compare_within_batch(prints.ids[remaining], prints.contents[remaining], held_out[remaining])
    return ComparedRows(outcomes, corrections & (outcomes == RowOutcome.KEPT))


def count_leaks(prints: Fingerprints, known: KnownRows, kept: np.ndarray, held_out: np.ndarray) -> int:
    """Return how many kept rows of a given validation or test split have a text that is also in training.

    Of earlier experiences, rows count that have the same text and label.
    """
    in_batch = np.isin(prints.inputs, prints.inputs[kept & ~held_out])
    return int(((in_batch | is_known(prints.contents, known.contents)) & kept & held_out).sum())


def _is_same_row(prints: Fingerprints, known: KnownRows, candidates: np.ndarray) -> np.ndarray:
    """Return which of the candidates an earlier experience has with the same id and the same content."""
    if not candidates.any():
        return candidates
    pairs = [pair_hashes(ids, contents) for ids, contents in zip(known.ids, known.contents, strict=True)]
    same: np.ndarray = candidates & is_known(pair_hashes(prints.ids, prints.contents), pairs)
    return same


def _is_contradicting(inputs: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return which inputs have more than one label."""
    order = np.lexsort((contents, inputs))
    same_input = inputs[order][1:] == inputs[order][:-1]
    differs = same_input & (contents[order][1:] != contents[order][:-1])
    return np.isin(inputs, inputs[order][1:][differs])


def _compare_within_batch(ids: np.ndarray, contents: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return the outcome of each row, given the earlier rows with its id, and those with its content."""
    first = _first_equal(ids)
    outcomes = np.where(contents == contents[first], RowOutcome.REPEATED, RowOutcome.DUPLICATE_ID).astype(np.int8)
    outcomes[first == np.arange(len(ids))] = RowOutcome.KEPT
    candidates = np.flatnonzero((outcomes == RowOutcome.KEPT) & ~held_out)
    copies = _first_equal(contents[candidates]) != np.arange(len(candidates))
    outcomes[candidates[copies]] = RowOutcome.REPEATED
    return outcomes


def _first_equal(values: np.ndarray) -> np.ndarray:
    """Return for each value the index of the first one that equals it."""
    order = np.argsort(values, kind="stable")
    starts = np.ones(len(values), dtype=bool)
    starts[1:] = values[order][1:] != values[order][:-1]
    first = np.empty(len(values), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(values)), 0))]
    return first
