"""Keep at least one row of each class in training, where the split is not given: else the class cannot be learned.

Rows of weight 0 are not learned, so they support no class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cl.records import SPLITS, WEIGHT
from cl.stores.data.staging import Staged
from cl.tasks import ValueKind, names_in

TRAIN, VALIDATION, TEST = (SPLITS.index(split) for split in ("train", "validation", "test"))
NO_CLASS = "O"
"""The class of a row whose answer names none: a sentence without an entity."""


@dataclass(frozen=True)
class _Candidate:
    """Held-out rows with the same input, which can only move together, and the missing classes that they would bring.

    Candidates are ordered: fewer rows first, then those from validation, then by the hash of their input.
    """

    cost: tuple[int, bool, int]
    rows: tuple[int, ...]
    classes: frozenset[str]


def support_classes(staged: Staged, groups: np.ndarray, kept: np.ndarray) -> int:
    """Move the fewest held-out rows to training so that each class has a training row; return how many moved.

    Rows of one text stay in one split. The result depends on the rows alone, not on their order in the input.

    Args:
        staged: the rows of an experience whose split is not given; its splits are changed in place.
        groups: the hash of each good row's text in normal form.
        kept: which good rows become part of the experience.
    """
    kind = staged.schema.answer.kind
    if not kind.names_classes:
        return 0
    splits = np.concatenate([np.empty(0, dtype=np.int8), *staged.splits])
    trained = frozenset[str]().union(*(distinct for _, distinct, _ in _classes(staged, kept & (splits == TRAIN))))
    lacking: dict[int, frozenset[str]] = {}
    for rows, distinct, values in _classes(staged, kept & (splits != TRAIN)):
        if not distinct <= trained:
            classes = (_classes_of(kind, value) for value in values.to_pylist())
            lacking |= {row: missing for row, names in zip(rows, classes, strict=True) if (missing := names - trained)}
    moved = _fewest(_candidates(lacking, groups, splits, kept))
    if moved:
        splits[moved] = TRAIN
        staged.splits = np.split(splits, np.cumsum([len(part) for part in staged.splits])[:-1])
    return len(moved)


def _classes(staged: Staged, wanted: np.ndarray) -> Iterator[tuple[list[int], frozenset[str], pa.ChunkedArray]]:
    """Yield, chunk by chunk, the positions of the wanted rows that are learned, their classes, and their values."""
    kind = staged.schema.answer.kind
    for chunk, positions in zip(staged.good(), staged.places(), strict=True):
        rows = np.flatnonzero(wanted[positions] & _is_learned(chunk))
        values = chunk[staged.schema.answer.name].take(pa.array(rows))
        distinct = pc.unique(values).to_pylist() if kind is ValueKind.LABEL else values.to_pylist()
        classes = frozenset[str]().union(*(_classes_of(kind, value) for value in distinct))
        yield (rows + positions.start).tolist(), classes, values


def _is_learned(chunk: pa.Table) -> np.ndarray:
    if WEIGHT not in chunk.column_names:
        return np.ones(chunk.num_rows, dtype=bool)
    mask: np.ndarray = chunk[WEIGHT].to_numpy() > 0
    return mask


def _classes_of(kind: ValueKind, value: Any) -> frozenset[str]:
    return frozenset(names_in(kind, value)) or frozenset((NO_CLASS,))


def _candidates(
    lacking: dict[int, frozenset[str]], inputs: np.ndarray, splits: np.ndarray, kept: np.ndarray
) -> list[_Candidate]:
    """Return the cheapest candidate for each set of missing classes, in a fixed order."""
    if not lacking:
        return []
    members: dict[int, list[int]] = {int(inputs[row]): [] for row in lacking}
    for row in np.flatnonzero(kept & np.isin(inputs, np.array(list(members), dtype=inputs.dtype))):
        members[int(inputs[row])].append(int(row))
    cheapest: dict[frozenset[str], _Candidate] = {}
    for key, rows in members.items():
        classes = frozenset[str]().union(*(lacking.get(row, frozenset()) for row in rows))
        cost = (len(rows), bool((splits[rows] == TEST).any()), key)
        if classes not in cheapest or cost < cheapest[classes].cost:
            cheapest[classes] = _Candidate(cost, tuple(rows), classes)
    return sorted(cheapest.values(), key=lambda candidate: candidate.cost)


def _fewest(candidates: list[_Candidate]) -> list[int]:
    """Return the rows of the candidates that bring all missing classes with the fewest rows."""
    if all(len(candidate.classes) == 1 for candidate in candidates):
        chosen: Iterable[_Candidate] = candidates  # each is the cheapest for its class
    else:
        chosen = _cover(candidates)
    return [row for candidate in chosen for row in candidate.rows]


def _cover(candidates: list[_Candidate]) -> list[_Candidate]:
    """Solve the set cover exactly, as an integer program: the fewest rows that together have every missing class."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    classes = sorted(frozenset[str]().union(*(candidate.classes for candidate in candidates)))
    brings = np.array([[name in candidate.classes for candidate in candidates] for name in classes], dtype=float)
    sizes = np.array([len(candidate.rows) for candidate in candidates], dtype=float)
    solved = milp(sizes, integrality=1, bounds=Bounds(0, 1), constraints=LinearConstraint(brings, lb=1))
    return [candidate for candidate, share in zip(candidates, solved.x, strict=True) if share > 0.5]
