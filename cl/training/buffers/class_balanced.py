"""A buffer that gives every class the same share, as far as its rows go."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cl.heavy import np, pd
from cl.training.buffers import Buffer, Offer

log = logging.getLogger(__name__)


class ClassBalanced(Buffer):
    """Equal shares for all classes (the greedy balance of GDumb; Prabhu et al., 2020, algorithm 1).

    Slots that a rare class cannot fill go to the others. Within a class, the rows whose ids have the smallest hashes
    are kept: a random sample of all that the class ever had, where a draw among kept and new rows would soon replace
    the early ones. With fewer slots than classes, the buffer keeps one row each of the classes whose names have the
    smallest hashes.

    >>> from cl.testing import sample_offer
    >>> ClassBalanced().keep(sample_offer(40, budget=10))['label'].value_counts().to_dict()
    {'fee': 5, 'loan': 5}
    """

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Drop rows from the largest classes until the budget holds."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget)
        ordered = rows.iloc[_order_by_hash(rows["id"])]
        rank = ordered.groupby(self.CLASS, sort=False).cumcount()
        return ordered[rank < ordered[self.CLASS].map(shares)].sort_index()


def equal_shares(counts: dict[str, int], budget: int) -> dict[str, int]:
    """Divide a budget among classes: small classes keep all their rows, the rest share equally.

    With more classes than slots, the classes whose names have the smallest hashes get one each: a random sample of all
    classes, old and new. A rule that preferred small or new classes would give a small buffer entirely to the latest
    ones, and so would, in the end, a draw in each update.

    >>> equal_shares({"a": 10, "b": 2, "c": 10}, 12)
    {'b': 2, 'a': 5, 'c': 5}
    """
    if budget < len(counts):
        log.warning(
            "a buffer with room for %d rows cannot hold one of each of %d classes: it rehearses a sample of them "
            "and forgets the others; give it more rows or bytes",
            budget,
            len(counts),
        )
        names = sorted(counts)
        chosen = set(_order_by_hash(names)[:budget].tolist())
        return {name: int(index in chosen) for index, name in enumerate(names)}
    shares: dict[str, int] = {}
    for index, (name, count) in enumerate(sorted(counts.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(count, (budget - sum(shares.values())) // (len(counts) - index))
    return shares


def _order_by_hash(texts: Iterable[str]) -> np.ndarray:
    """Return the indices that sort texts by their hashes: an order that is random, and the same in each update."""
    from cl.stores.data.fingerprints import hash_texts

    return np.argsort(hash_texts(texts), kind="stable")
