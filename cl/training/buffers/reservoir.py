"""Reservoir sampling: every row of the stream has the same chance of being in the buffer."""

from __future__ import annotations

import pandas as pd

from cl.training.buffers import Buffer, Offer


class Reservoir(Buffer):
    """A uniform sample of the whole stream in one pass (Vitter, 1985, algorithm R)."""

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Put each new row in a free place, or in place of a random one with chance budget / rows seen."""
        rows = offer.rows
        first = 0 if offer.kept is None else len(offer.kept)
        # a part of a uniform sample, when the budget has become smaller, is one as well
        places = (
            sorted(offer.rng.permutation(first)[: offer.budget].tolist())
            if first > offer.budget
            else list(range(first))
        )
        for offset in range(len(offer.new)):
            if len(places) < offer.budget:
                places.append(first + offset)
            elif (slot := int(offer.rng.integers(offer.seen + offset + 1))) < offer.budget:
                places[slot] = first + offset
        return rows.iloc[sorted(places)]
