"""The base of all replay buffers: policies that choose which past rows to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cl.plugins import Plugin

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class View:
    """What the newly trained model computes from rows, if a buffer calls it.

    ``embeddings`` returns (rows, width); ``margins`` returns each row's lead of the first answer over the second.
    """

    embeddings: Callable[[pd.DataFrame], np.ndarray]
    margins: Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Offer:
    """What a buffer chooses from after an experience.

    ``kept`` are its rows so far (None before the first experience), ``new`` the training rows just learned; the column
    ``class`` holds each row's class. ``seen`` counts the rows of the stream before ``new``; ``rng`` is the only source
    of randomness.
    """

    kept: pd.DataFrame | None
    new: pd.DataFrame
    budget: int
    seen: int
    rng: np.random.Generator
    view: View

    @property
    def rows(self) -> pd.DataFrame:
        """Old and new rows, old first."""
        import pandas as pd

        return self.new if self.kept is None else pd.concat([self.kept, self.new], ignore_index=True)


class Buffer(Plugin):
    """Base of all buffers: a policy that chooses from the kept and the new rows those to keep."""

    CLASS: ClassVar[str] = "class"

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Return at most ``offer.budget`` of the offer's rows."""
        raise NotImplementedError
