"""How a model learns a new experience without forgetting the old ones: one file a strategy.

A strategy's fields are its hyper-parameters. What it must remember between experiences is a separate
``State`` that its methods take and return, so that it can be saved with the version, loaded and tested.
Strategies compose: a configuration may list several, and every hook of each is called in that order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cl.plugins import Plugin

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from cl.training.learner import Learner


@dataclass(frozen=True)
class State:
    """What a strategy carries from one experience to the next: rows, and named tensors."""

    rows: pd.DataFrame | None = None
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    seen: int = 0


@dataclass(frozen=True)
class Lesson:
    """What an experience offers a strategy."""

    rows: pd.DataFrame
    past: Callable[[], pd.DataFrame]
    rng: np.random.Generator


class Strategy(Plugin):
    """Base of all strategies; as it stands it is fine-tuning on the new rows alone."""

    def recall(self, state: State, lesson: Lesson) -> pd.DataFrame | None:
        """Return rows of the past to be learnt again in the coming epoch, or None."""
        return None

    def penalty(self, state: State, learner: Learner) -> torch.Tensor | None:
        """Return a scalar that is added to the loss of each step, or None."""
        return None

    def remember(self, state: State, lesson: Lesson, learner: Learner) -> State:
        """Return the state after the experience has been learnt."""
        return state
