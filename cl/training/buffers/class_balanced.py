"""A buffer in which every class has the same share, as far as it has rows."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from cl.training.buffers import Buffer, Offer

log = logging.getLogger(__name__)


class ClassBalanced(Buffer):
    """Equal shares for all classes (the greedy balance of GDumb; Prabhu et al., 2020, algorithm 1).

    What a rare class cannot fill goes to the others. Within a class, rows are kept at random. With fewer places than
    classes, a row each of some classes is kept, whichever chance picks of those still held and those that are new.
    """

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Drop rows at random from the largest classes until the budget holds."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget, offer.rng)
        shuffled = rows.iloc[offer.rng.permutation(len(rows))]
        rank = shuffled.groupby(self.CLASS, sort=False).cumcount()
        return shuffled[rank < shuffled[self.CLASS].map(shares)].sort_index()


def equal_shares(counts: dict[str, int], budget: int, rng: np.random.Generator) -> dict[str, int]:
    """Divide a budget among classes: small ones get all they have, the rest share equally.

    Where there are more classes than places, each place goes to one of them at random: a rule that served small or
    new classes first would give all of a small buffer to the latest ones. ``rng`` is asked in that case only.

    >>> equal_shares({"a": 10, "b": 2, "c": 10}, 12, np.random.default_rng(0))
    {'b': 2, 'a': 5, 'c': 5}
    """
    if budget < len(counts):
        log.warning(
            "a buffer with room for %d rows cannot hold one of each of %d classes: which of them it rehearses is left "
            "to chance, and the others are forgotten; give it more rows or bytes",
            budget,
            len(counts),
        )
        drawn = set(rng.permutation(len(counts))[:budget].tolist())
        return {name: int(place in drawn) for place, name in enumerate(sorted(counts))}
    shares: dict[str, int] = {}
    for place, (name, count) in enumerate(sorted(counts.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(count, (budget - sum(shares.values())) // (len(counts) - place))
    return shares
