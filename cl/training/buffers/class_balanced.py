"""A buffer that gives every class the same share, as far as its rows go."""

from __future__ import annotations

import logging

from cl.heavy import np, pd
from cl.training.buffers import Buffer, Offer

log = logging.getLogger(__name__)


class ClassBalanced(Buffer):
    """Equal shares for all classes (the greedy balance of GDumb; Prabhu et al., 2020, algorithm 1).

    Slots that a rare class cannot fill go to the others. Within a class, rows are kept at random. With fewer slots than
    classes, the buffer keeps one row each of randomly drawn classes, old or new.

    >>> from cl.testing import sample_offer
    >>> ClassBalanced().keep(sample_offer(40, budget=10))['label'].value_counts().to_dict()
    {'fee': 5, 'loan': 5}
    """

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Drop rows at random from the largest classes until the budget holds."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget, offer.rng)
        shuffled = rows.iloc[offer.rng.permutation(len(rows))]
        rank = shuffled.groupby(self.CLASS, sort=False).cumcount()
        return shuffled[rank < shuffled[self.CLASS].map(shares)].sort_index()


def equal_shares(counts: dict[str, int], budget: int, rng: np.random.Generator) -> dict[str, int]:
    """Divide a budget among classes: small classes keep all their rows, the rest share equally.

    With more classes than slots, each slot goes to a random class: a rule that preferred small or new classes would
    give a small buffer entirely to the latest ones. Only this case draws from ``rng``.

    >>> equal_shares({"a": 10, "b": 2, "c": 10}, 12, np.random.default_rng(0))
    {'b': 2, 'a': 5, 'c': 5}
    """
    if budget < len(counts):
        log.warning(
            "a buffer with room for %d rows cannot hold one of each of %d classes: it rehearses randomly drawn classes "
            "and forgets the others; give it more rows or bytes",
            budget,
            len(counts),
        )
        drawn = set(rng.permutation(len(counts))[:budget].tolist())
        return {name: int(index in drawn) for index, name in enumerate(sorted(counts))}
    shares: dict[str, int] = {}
    for index, (name, count) in enumerate(sorted(counts.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(count, (budget - sum(shares.values())) // (len(counts) - index))
    return shares
