"""What an accuracy matrix says: R[i][j] is the score on experience j after experience i was learnt."""

from __future__ import annotations

import statistics

Matrix = list[list[float]]


def accuracy(matrix: Matrix) -> float:
    """Return ACC: the mean score over all experiences after the last (Lopez-Paz and Ranzato, 2017, equation 2)."""
    return statistics.fmean(matrix[-1])


def backward_transfer(matrix: Matrix) -> float | None:
    """Return BWT: the mean change of each past experience since it was learnt (the same paper, equation 3)."""
    last = len(matrix) - 1
    return statistics.fmean(matrix[last][at] - matrix[at][at] for at in range(last)) if last else None


def forward_transfer(matrix: Matrix) -> float | None:
    """Return the mean zero-shot score: on each next experience, just before it is learnt.

    The paper's equation 4 subtracts the score of an untrained model, which we do not. Labels that are all new can
    score nothing either way; of labels that were taught before, this says how far they carry, not what was gained
    over chance.
    """
    last = len(matrix) - 1
    return statistics.fmean(matrix[at - 1][at] for at in range(1, last + 1)) if last else None


def forgetting(matrix: Matrix) -> list[float]:
    """Return, for each past experience, its best score since it was learnt minus its last.

    Chaudhry et al., 2018, equation 3, takes the best over all earlier steps; ours begins with the step that learnt
    the experience. A score from before it is of labels that nobody had taught, and what was never learnt is not lost.
    """
    last = len(matrix) - 1
    return [max(row[at] for row in matrix[at:last]) - matrix[last][at] for at in range(last)]


def intransigence(matrix: Matrix, joint: Matrix) -> float:
    """Return how much worse each experience is learnt than joint training learns it, on average.

    Chaudhry et al., 2018, equation 5: joint's score on experience k after k, minus the model's. The paper's is of one
    experience; this is the mean over all.
    """
    return statistics.fmean(joint[at][at] - matrix[at][at] for at in range(len(matrix)))


def spread(values: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation (0 for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
