"""Scores of all answers together: counts of each row, made once, and the score of their sum.

Counts add up: the score of any sample of the rows follows from the sums of their counts, without reading a text again
(Koehn, 2004, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cl.heavy import np
from cl.tasks._text_scores import TEXT_SCORES, sentence_bleu_counts, sentence_chrf_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

WRITTEN_SCORES = ("rouge_l", "exact_match", "f1")
"""Scores whose value on all rows is the mean of the rows'."""
SQUARED_BETA = 4
"""Recall counts so much in chrF: the square of its beta, 2."""


def count_answers(name: str, truths: Sequence[str], answers: Sequence[str]) -> NDArray[np.float64]:
    """Return what to add up for a score (rows, counts): chrF 18 counts, BLEU 10, other scores their value and 1."""
    if name == "corpus_chrf":
        return np.array(sentence_chrf_counts(truths, answers), dtype=float)
    if name == "corpus_bleu":
        return np.array(sentence_bleu_counts(truths, answers), dtype=float)
    score = TEXT_SCORES[name]
    return np.array([[score(truth, answer), 1.0] for truth, answer in zip(truths, answers, strict=True)])


def chrf_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return chrF, 0 to 1, of sums of counts (..., 18): of the answer, of the truth, and common, for 1 to 6-grams.

    Precision and recall are means over the lengths of n-grams that both have, as sacrebleu has them.

    >>> chrf_of(np.array([2.0, 2.0, 1.0] + [0.0] * 15)).item()
    0.5
    """
    own, true, common = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    known = (own > 0) & (true > 0)
    orders = np.maximum(known.sum(-1), 1)
    precision = (np.where(known, common, 0.0) / np.maximum(own, 1.0)).sum(-1) / orders
    recall = (np.where(known, common, 0.0) / np.maximum(true, 1.0)).sum(-1) / orders
    bottom = SQUARED_BETA * precision + recall
    top = (1 + SQUARED_BETA) * precision * recall
    result: NDArray[np.float64] = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return result


def bleu_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return BLEU, 0 to 1, of sums of counts (..., 10): words of the answer and of the truth, then of 1 to 4-grams.

    First those that are common, then those of the answer. Smoothed exponentially, as sacrebleu has it.

    >>> round(bleu_of(np.array([10.0, 10, 9, 7, 5, 3, 10, 8, 6, 4])).item(), 4)
    0.8376
    """
    written, true, common, all_grams = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    missing = np.cumsum(common == 0, axis=-1)
    counted = np.where(common == 0, 0.5**missing, common)
    logs = np.log(counted / np.maximum(all_grams, 1.0)).mean(-1)
    penalty = np.minimum(0.0, 1.0 - true / np.maximum(written, 1.0))
    decided = (common > 0).any(-1) & (all_grams > 0).all(-1)
    return np.where(decided, np.minimum(1.0, np.exp(logs + penalty)), 0.0)


def mean_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of a score, given sums (..., 2) of its values and of the rows.

    >>> mean_of(np.array([3.0, 4.0])).item()
    0.75
    """
    result: NDArray[np.float64] = sums[..., 0] / np.maximum(sums[..., 1], 1.0)
    return result


SCORE_OF_SUMS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "corpus_chrf": chrf_of,
    "corpus_bleu": bleu_of,
    **dict.fromkeys(WRITTEN_SCORES, mean_of),
}
"""By name: the score of all rows together, 0 to 1, given the sums of their counts (..., counts)."""
