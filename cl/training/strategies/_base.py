"""How a model learns a new experience without forgetting the old ones: one file a strategy.

A strategy's fields are its hyper-parameters. What it must remember between experiences is a separate
`State` that `remember` returns, so that it can be saved with the version, loaded and tested. Strategies
compose: a configuration may list several, and every hook of each is called in that order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from cl import plugins
from cl.plugins import Plugin

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cl.config import Config
    from cl.models.batching import Batch
    from cl.models.learner import Learner


@dataclass(frozen=True)
class State:
    """What a strategy carries from one experience to the next: rows, and named tensors.

    It stays with the version through updates that the strategy has no part in. ``experiences`` are those that it has
    taken in; None, in versions that do not say: all that the version has learnt.
    """

    rows: pd.DataFrame | None = None
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    seen: int = 0
    experiences: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TrainingData:
    """What an experience offers a strategy: its training rows, a way to the past, validation rows, chance.

    ``known`` counts the labels of the champion, which come first in the head; 0: there is no champion yet.
    """

    rows: pd.DataFrame
    past: Callable[[], pd.DataFrame]
    rng: np.random.Generator
    validation: pd.DataFrame | None = None
    known: int = 0


@dataclass(frozen=True)
class Update:
    """One strategy's view of one experience that is being learnt.

    ``scratch`` holds tensors for this update alone; a checkpoint saves them with the optimiser. ``cache`` holds what is
    made once for all steps and can be made anew, such as copies on the learner's device.
    """

    state: State
    lesson: TrainingData
    learner: Learner
    scratch: dict[str, torch.Tensor] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One batch after its forward pass: the rows' ids, what went in, and the logits that came out.

    ``states`` are those of the last layers (rows, length, width): as many as the head reads, or a strategy watches.
    """

    ids: list[str]
    batch: Batch
    logits: torch.Tensor
    states: list[torch.Tensor] = field(default_factory=list)


class Strategy(Plugin):
    """Base of all strategies; as it stands it is fine-tuning on the new rows alone.

    ``holds`` says what of the champion a strategy holds on to: its weights, its answers, ... ``keeps_past`` says that
    it asks for all training rows of the past, so that they must be kept as long as the model learns. ``keeps_rows``
    says that its state is a buffer, which has to hold rows of every experience: those that were learnt without it are
    offered to it before it takes part again.
    """

    holds: ClassVar[str | None] = None

    keeps_past: ClassVar[bool] = False

    keeps_rows: ClassVar[bool] = False

    closed: ClassVar[bool] = False

    @property
    def watched(self) -> int:
        """How many of the last layers' states its penalty looks at."""
        return 0

    def restarts(self) -> bool:
        """Tell whether every update starts from the pretrained weights instead of the champion."""
        return False

    def descends(self, update: Update) -> bool:
        """Tell whether this update is learnt by gradient descent; if any strategy says no, `finish` must learn."""
        return True

    def objection(self, config: Config) -> str | None:
        """Return why a configuration and this strategy do not go together, or None.

        As it stands: who holds on to the champion cannot learn beside one that leaves it behind, and rows of the past
        are recalled by one alone.
        """
        if self.holds and (afresh := [one.name for one in self.others(config) if one.restarts()]):
            return (
                f"it holds on to the champion's {self.holds}, and '{afresh[0]}' starts every update from the "
                "pretrained weights; leave one of the two out"
            )
        if self.recalls and (also := [one.name for one in self.others(config) if one.recalls]):
            return (
                f"it recalls rows of the past, and '{also[0]}' does as well: they would be learnt twice; "
                "leave one of the two out"
            )
        return None

    @property
    def recalls(self) -> bool:
        """Whether it has rows of the past learnt again."""
        return type(self).recall is not Strategy.recall

    def others(self, config: Config) -> list[Strategy]:
        """Return the strategies that a configuration lists beside this one."""
        built = [plugins.build(Strategy, spec) for spec in config.strategies]
        return [one for one in built if one.name != self.name]

    def begin(self, update: Update) -> None:
        """Prepare, before the first step and with the weights as the champion left them."""

    def choose(self, update: Update) -> pd.DataFrame:
        """Return those of the new rows that the coming epoch learns."""
        return update.lesson.rows

    def recall(self, update: Update) -> pd.DataFrame | None:
        """Return rows of the past to be learnt again in the coming epoch, or None."""
        return None

    def expects(self, new: int, past: int) -> int:
        """Return how many rows an epoch is expected to hold beside so many new ones; below 0, of them fewer."""
        return 0

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return a scalar that is added to the loss of this step, or None."""
        return None

    def adjust(self, update: Update, step: Step) -> None:
        """Change the gradients after the backward pass and before they are clipped."""

    def stepped(self, update: Update) -> None:
        """Look at the weights after the optimiser has moved them."""

    def solved_rows(self, update: Update) -> int:
        """Return how many rows `finish` has learnt by itself; 0: none, the loop has learnt them."""
        return 0

    def finish(self, update: Update) -> Learner:
        """Return the learner as it shall be when the best epoch has been put back; its weights may change in place."""
        return update.learner

    def remember(self, update: Update) -> State:
        """Return the state after the experience has been learnt."""
        return update.state

    def pass_on(self, update: Update) -> State | None:
        """Return the state for a student of a learner, whose state is given: rows stay, what is about weights goes.

        The update's learner is the student, its lesson's rows those that the student has learnt on. None: sums of a
        closed form are over other features, and the next update sums up all rows anew.
        """
        return None if self.closed else replace(update.state, tensors={})


def save_states(states: dict[str, State], folder: Path) -> None:
    """Write the strategies' states below ``folder/strategies``."""
    from safetensors.torch import save_file

    for name, state in states.items():
        place = folder / "strategies" / name
        place.mkdir(parents=True)
        told = {"seen": state.seen, **({} if state.experiences is None else {"experiences": state.experiences})}
        (place / "state.json").write_text(json.dumps(told), encoding="utf-8")
        if state.rows is not None:
            state.rows.to_parquet(place / "rows.parquet", index=False)
        if state.tensors:
            save_file({k: v.contiguous() for k, v in state.tensors.items()}, place / "tensors.safetensors")


def load_states(folder: Path) -> dict[str, State]:
    """Read all states that a version holds, by the strategy's name."""
    from safetensors.torch import load_file

    states = {}
    for place in sorted((folder / "strategies").glob("*")):
        rows, tensors = place / "rows.parquet", place / "tensors.safetensors"
        told = json.loads((place / "state.json").read_text(encoding="utf-8"))
        states[place.name] = State(
            rows=pd.read_parquet(rows) if rows.exists() else None,
            tensors=load_file(tensors) if tensors.exists() else {},
            seen=told["seen"],
            experiences=tuple(told["experiences"]) if "experiences" in told else None,
        )
    return states
