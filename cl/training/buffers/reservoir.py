"""A buffer by reservoir sampling: every row of the stream is kept with the same probability."""

from __future__ import annotations

from cl.heavy import pd
from cl.training.buffers import Buffer, Offer


class Reservoir(Buffer):
    """A uniform sample of the whole stream in one pass (Vitter, 1985, algorithm R).

    >>> from cl.testing import sample_offer
    >>> len(Reservoir().keep(sample_offer(40, budget=10)))
    10
    """

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Put each new row in a free slot, or replace a random row with probability budget / rows seen."""
        rows = offer.rows
        first = 0 if offer.kept is None else len(offer.kept)
        # if the budget has shrunk, a random part of a uniform sample is a uniform sample too
        slots = (
            sorted(offer.rng.permutation(first)[: offer.budget].tolist())
            if first > offer.budget
            else list(range(first))
        )
        for offset in range(len(offer.new)):
            if len(slots) < offer.budget:
                slots.append(first + offset)
            elif (slot := int(offer.rng.integers(offer.seen + offset + 1))) < offer.budget:
                slots[slot] = first + offset
        return rows.iloc[sorted(slots)]
