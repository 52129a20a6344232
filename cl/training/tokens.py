"""Rows are made ready once in an update, however often they come back."""

from __future__ import annotations

import pandas as pd

from cl.tasks import Encoded
from cl.training.learner import Learner


class TokenCache:
    """Encodes each row once in an update; what is known from one update to the next, `KnownTokens` keeps."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._known: dict[str, Encoded] = {}

    def encode(self, rows: pd.DataFrame) -> list[Encoded]:
        """Return the rows' tokens, from the cache where they are in it."""
        fresh = rows[~rows["id"].isin(self._known)].drop_duplicates("id")
        self._known.update(zip(fresh["id"], self._learner.encode(fresh), strict=True))
        return [self._known[row] for row in rows["id"]]
