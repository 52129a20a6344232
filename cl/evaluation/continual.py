"""Continual-learning metrics of an accuracy matrix R: R[i][j] is the score on experience j after learning i.

A matrix has one row per update, in order, with the scores on the experiences tested then. Rows may be partial, as in a
project, or full, as in a backtest; the metrics are the same. A score that no row decides is not in the matrix.
"""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
Matrix = Mapping[K, Mapping[K, float]]


def by_index(rows: Sequence[Sequence[float | None]]) -> dict[int, dict[int, float]]:
    """Return a full matrix, given as lists, with indices as the names of experiences; undecided scores are left out."""
    return {i: {j: value for j, value in enumerate(row) if value is not None} for i, row in enumerate(rows)}


def accuracy(matrix: Matrix[K]) -> float | None:
    """Return ACC: the mean score over all experiences after the last update (Lopez-Paz and Ranzato, 2017, eq. 2)."""
    return mean_of(matrix[_newest(matrix)].values())


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the decided values; None: there is none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def backward_transfer(matrix: Matrix[K], newest: K | None = None) -> float | None:
    """Return BWT: the mean change of each past experience since it was learned (the same paper, eq. 3).

    Args:
        matrix: R.
        newest: the row with the current scores; None: the last one.
    """
    newest = _newest(matrix) if newest is None else newest
    since = _since_learned(matrix, newest)
    changes = [matrix[newest][name] - scores[0] for name, scores in since.items() if scores]
    return statistics.fmean(changes) if changes else None


def forward_transfer(matrix: Matrix[K]) -> float | None:
    """Return the mean zero-shot score: on each experience, just before it is learned.

    Unlike the paper's equation 4, this does not subtract the score of an untrained model. An experience with only new
    labels scores 0 either way; for known labels, this measures how well they transfer, not the gain over chance.
    """
    names = list(matrix)
    before = [matrix[last][name] for last, name in pairwise(names) if name in matrix[last]]
    return statistics.fmean(before) if before else None


def forgetting(matrix: Matrix[K], newest: K | None = None, champion: Mapping[K, float] | None = None) -> dict[K, float]:
    """Return, for each past experience, its best score since it was learned minus its score now.

    Chaudhry et al., 2018, equation 3, takes the best over all earlier updates; ours starts at the update that learned
    the experience: what was never learned cannot be forgotten.

    Args:
        matrix: R.
        newest: the row with the current scores; None: the last one.
        champion: the champion's scores, which count as past scores too: it may know an experience that it was never
            trained on.
    """
    newest = _newest(matrix) if newest is None else newest
    known = (champion or {}) if len(matrix) > 1 else {}
    past = {
        name: [*scores, *([known[name]] if name in known else [])]
        for name, scores in _since_learned(matrix, newest).items()
    }
    return {name: max(scores) - matrix[newest][name] for name, scores in past.items() if scores}


def intransigence(matrix: Matrix[K], joint: Matrix[K]) -> float | None:
    """Return how much worse each experience is learned than joint training learns it, on average.

    Chaudhry et al., 2018, equation 5: the score of joint training on experience k after k, minus the model's. The paper
    defines it for one experience; this is the mean over all.
    """
    decided = [name for name in matrix if name in matrix[name] and name in joint[name]]
    return mean_of(joint[name][name] - matrix[name][name] for name in decided)


def spread(values: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation (0 for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _newest(matrix: Matrix[K]) -> K:
    return list(matrix)[-1]


def _since_learned(matrix: Matrix[K], newest: K) -> dict[K, list[float]]:
    """Return the earlier scores of each experience in the newest row, starting at the update that learned it.

    An experience without its own row was learned together with a newer one, in the first row that scores it. Scores
    that its rows could not decide are not in the matrix.
    """
    earlier = [name for name in matrix if name != newest]
    scores = {}
    for name in matrix[newest]:
        if name != newest:
            rows = earlier[earlier.index(name) :] if name in earlier else earlier
            scores[name] = [matrix[row][name] for row in rows if name in matrix[row]]
    return scores
