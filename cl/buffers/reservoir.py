"""Reservoir sampling: every row of the stream has the same chance of being in the buffer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cl.buffers import Buffer, View


class Reservoir(Buffer):
    """A uniform sample of the whole stream in one pass (Vitter, 1985, algorithm R)."""

    def keep(
        self,
        kept: pd.DataFrame | None,
        new: pd.DataFrame,
        *,
        budget: int,
        seen: int,
        rng: np.random.Generator,
        view: View,
    ) -> pd.DataFrame:
        """Put each new row in a free place, or in place of a random one with chance budget / rows seen."""
        rows = new if kept is None else pd.concat([kept, new], ignore_index=True)
        first = 0 if kept is None else len(kept)
        # a part of a uniform sample, when the budget has become smaller, is one as well
        places = sorted(rng.permutation(first)[:budget].tolist()) if first > budget else list(range(first))
        for offset in range(len(new)):
            if len(places) < budget:
                places.append(first + offset)
            elif (slot := int(rng.integers(seen + offset + 1))) < budget:
                places[slot] = first + offset
        return rows.iloc[sorted(places)]
