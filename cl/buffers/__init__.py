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


class Buffer(Plugin):
    """Base of all buffers: a policy that turns what is kept and what is new into what is kept next."""

    CLASS: ClassVar[str] = "class"

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
        """Return at most ``budget`` rows out of both frames.

        Args:
            kept: rows in the buffer so far; None before the first experience.
            new: training rows of the experience that has just been learnt; column ``class`` names their class.
            budget: rows at most.
            seen: how many rows of the stream came before ``new``.
            rng: the only source of chance.
            view: the model's embeddings and margins of rows.
        """
        raise NotImplementedError
