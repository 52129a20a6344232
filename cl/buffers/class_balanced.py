"""A buffer in which every class has the same share, as far as it has rows."""

from __future__ import annotations

import pandas as pd

from cl.buffers import Buffer, Offer


class ClassBalanced(Buffer):
    """Equal shares for all classes (the greedy balance of GDumb; Prabhu et al., 2020, algorithm 1).

    What a rare class cannot fill goes to the others. Within a class, rows are kept at random.
    """

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Drop rows at random from the largest classes until the budget holds."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget)
        shuffled = rows.iloc[offer.rng.permutation(len(rows))]
        rank = shuffled.groupby(self.CLASS, sort=False).cumcount()
        return shuffled[rank < shuffled[self.CLASS].map(shares)].sort_index()


def equal_shares(counts: dict[str, int], budget: int) -> dict[str, int]:
    """Divide a budget among classes: small ones get all they have, the rest share equally.

    >>> equal_shares({"a": 10, "b": 2, "c": 10}, 12)
    {'b': 2, 'a': 5, 'c': 5}
    """
    shares: dict[str, int] = {}
    for place, (name, count) in enumerate(sorted(counts.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(count, (budget - sum(shares.values())) // (len(counts) - place))
    return shares
