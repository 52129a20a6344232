"""Which rows of the past are kept when not all can be: one file a policy."""

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
    """What the model that has just learnt sees in rows: computed only for the buffers that ask.

    ``embeddings`` returns (rows, width); ``margins`` says how far each row's first answer is ahead of its second.
    """

    embeddings: Callable[[pd.DataFrame], np.ndarray]
    margins: Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Offer:
    """What a buffer chooses from after an experience.

    ``kept`` are its rows so far (None before the first experience), ``new`` the training rows just learnt; their
    column ``class`` names their class. ``seen`` counts the rows of the stream before ``new``; ``rng`` is the only
    source of chance.
    """

    kept: pd.DataFrame | None
    new: pd.DataFrame
    budget: int
    seen: int
    rng: np.random.Generator
    view: View

    @property
    def rows(self) -> pd.DataFrame:
        """Old and new rows together, the old ones first."""
        import pandas as pd

        return self.new if self.kept is None else pd.concat([self.kept, self.new], ignore_index=True)


class Buffer(Plugin):
    """Base of all buffers: a policy that turns what is kept and what is new into what is kept next."""

    CLASS: ClassVar[str] = "class"

    def keep(self, offer: Offer) -> pd.DataFrame:
        """Return at most ``offer.budget`` of the offer's rows."""
        raise NotImplementedError
