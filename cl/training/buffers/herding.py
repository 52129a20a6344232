"""A buffer that keeps, for each class, the rows whose mean embedding is nearest the class mean."""

from __future__ import annotations

from typing import ClassVar

from cl.heavy import np, pd
from cl.plugins import Capability
from cl.training.buffers import Buffer, Offer
from cl.training.buffers.class_balanced import equal_shares


class Herding(Buffer):
    """Herding (Rebuffi et al., 2017, "iCaRL", algorithms 4 and 5) within equal class shares.

    Rows are added one at a time, each time the row that brings the mean embedding of those chosen nearest the class
    mean; embeddings have length 1. The order is kept, so a smaller share is a prefix of a larger one. In the paper
    each class occurs in one experience; when a class recurs, its old and new rows alternate, old first, each in
    their own order.

    >>> from cl.testing import sample_offer
    >>> Herding().keep(sample_offer(40, budget=10))['label'].value_counts().to_dict()
    {'fee': 5, 'loan': 5}
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.EMBEDDINGS})

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Order the new rows of each class, interleave them with the old, and keep the first rows."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget)
        embeddings = _normalise(offer.view.embeddings(offer.new)) if len(offer.new) else np.zeros((0, 1))
        is_old = np.arange(len(rows)) < len(rows) - len(offer.new)
        chosen: list[int] = []
        for name, positions in rows.groupby(self.CLASS, sort=False).indices.items():
            old, fresh = positions[is_old[positions]], positions[~is_old[positions]]
            herd = fresh[choose_herd(embeddings[fresh - (len(rows) - len(offer.new))], shares[name])]
            turns = np.concatenate([2 * np.arange(len(old)), 2 * np.arange(len(herd)) + 1])
            chosen += np.concatenate([old, herd])[np.argsort(turns)][: shares[name]].tolist()
        return rows.iloc[chosen]


def choose_herd(embeddings: np.ndarray, wanted: int) -> list[int]:
    """Return the rows, in order, whose running mean stays nearest the mean of all.

    >>> choose_herd(np.array([[0.0], [1.0], [5.0]]), 2)  # the mean is 2: 1 is nearest, then (1 + 5) / 2 = 3
    [1, 2]
    """
    mean, total = embeddings.mean(0) if len(embeddings) else 0.0, np.zeros(embeddings.shape[1])
    left = np.ones(len(embeddings), dtype=bool)
    order: list[int] = []
    for number in range(1, min(wanted, len(embeddings)) + 1):
        distance = np.square(mean - (total + embeddings) / number).sum(1)
        best = int(np.where(left, distance, np.inf).argmin())
        order.append(best)
        left[best] = False
        total += embeddings[best]
    return order


def _normalise(embeddings: np.ndarray) -> np.ndarray:
    result: np.ndarray = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(min=1e-12)
    return result
