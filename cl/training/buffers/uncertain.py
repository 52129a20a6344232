"""A buffer that keeps, for each class, the rows that the model is least certain of."""

from __future__ import annotations

from typing import ClassVar

from cl.heavy import np, pd
from cl.plugins import Capability
from cl.training.buffers import Buffer, Offer
from cl.training.buffers.class_balanced import equal_shares


class Uncertain(Buffer):
    """Smallest margin between the first and the second answer (Scheffer et al., 2001), in equal class shares.

    Margins come from the newly trained model, for old rows as well. Rows near a decision boundary say most about it,
    but wrong labels are among them: choose another buffer for data with noisy labels.

    >>> from cl.testing import sample_offer
    >>> Uncertain().keep(sample_offer(8, budget=2))['id'].tolist()  # the least certain of each class
    ['r0-0', 'r0-3']
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.PROBABILITIES})

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Rank the rows of each class by margin and keep those with the smallest."""
        rows = offer.rows
        shares = equal_shares(rows[self.CLASS].value_counts().to_dict(), offer.budget)
        ranked = rows.iloc[np.argsort(offer.view.margins(rows), kind="stable")] if len(rows) else rows
        rank = ranked.groupby(self.CLASS, sort=False).cumcount()
        return ranked[rank < ranked[self.CLASS].map(shares)].sort_index()
