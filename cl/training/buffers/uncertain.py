"""A buffer that keeps, for each class, the rows that the model is least sure of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cl.training.buffers import Buffer, Offer
from cl.training.buffers.class_balanced import equal_shares


class Uncertain(Buffer):
    """Smallest margin between the first and the second answer (Scheffer et al., 2001), in equal class shares.

    Margins are those of the model that has just learnt, for the old rows as well. Rows near a border say most about
    it, and wrong labels are among them: data with many of those are better served by another buffer.
    """

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Rank the rows of each class by their margin and keep the smallest."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget, offer.rng)
        ranked = rows.iloc[np.argsort(offer.view.margins(rows), kind="stable")] if len(rows) else rows
        rank = ranked.groupby(self.CLASS, sort=False).cumcount()
        return ranked[rank < ranked[self.CLASS].map(shares)].sort_index()
