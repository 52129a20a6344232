"""The base of all strategies, and the state that a strategy carries from one experience to the next.

A strategy's fields are its hyperparameters. What it must remember between experiences is a separate `State` that
`end` returns, so that it can be saved with the version, loaded and tested. Strategies compose: a configuration may
list several, and each hook is called for all of them in that order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cl import plugins
from cl.heavy import pd
from cl.plugins import Plugin

if TYPE_CHECKING:
    import numpy as np
    import torch

    from cl.config import Config
    from cl.models.learner import Learner
    from cl.models.word_embeddings import Repeatable
    from cl.tasks import Batch


@dataclass(frozen=True)
class State:
    """What a strategy carries from one experience to the next: rows, and named tensors.

    It stays with the version through updates that the strategy takes no part in. ``experiences`` are those it covers;
    None, in older versions that do not record it: all that the version has learned.
    """

    rows: pd.DataFrame | None = None
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    seen: int = 0
    experiences: tuple[str, ...] | None = None


def no_rows() -> pd.DataFrame:
    """Return an empty table."""
    return pd.DataFrame()


@dataclass(frozen=True)
class TrainingData:
    """What a strategy learns from: training rows, access to past rows, validation rows, a random generator.

    ``validation`` is a sample of the validation rows of all experiences, by which training is judged. ``held_out`` and
    ``past_held_out`` return all of the new and of the past experiences, for a strategy that learns them in the end.
    ``known`` counts the labels of the champion, which come first in the head; 0: there is no champion yet.
    """

    rows: pd.DataFrame
    past: Callable[[], pd.DataFrame]
    rng: np.random.Generator
    validation: pd.DataFrame | None = None
    known: int = 0
    held_out: Callable[[], pd.DataFrame] = no_rows
    past_held_out: Callable[[], pd.DataFrame] = no_rows


@dataclass(frozen=True)
class Update:
    """One strategy's view of one update.

    ``scratch`` holds tensors for this update only; a checkpoint saves them with the optimiser. ``cache`` holds values
    that are computed once for all steps and can be recomputed, such as copies on the learner's device.
    """

    state: State
    lesson: TrainingData
    learner: Learner
    scratch: dict[str, torch.Tensor] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One batch after its forward pass: the rows' ids, the inputs and the logits.

    ``states`` are those of the last layers (rows, length, width): as many as the head reads or a strategy watches.
    ``forward`` is the pass itself, to be repeated with shifted word embeddings; None: no strategy perturbs them.
    """

    ids: list[str]
    batch: Batch
    logits: torch.Tensor
    states: list[torch.Tensor] = field(default_factory=list)
    forward: Repeatable | None = None


class EpochRows(NamedTuple):
    """The rows of an epoch: new ones to train on, and past ones to rehearse; None: none are."""

    new: pd.DataFrame
    past: pd.DataFrame | None = None


class LearningMethod(Plugin):
    """How a model learns an experience: a `Strategy` trains it, a `ClosedForm` solves for its head.

    ``solves_head`` tells which. ``anchored_to`` names what it preserves of the champion: its weights, its answers, ...
    """

    solves_head: ClassVar[bool] = False
    anchored_to: ClassVar[str | None] = None

    def objection(self, config: Config) -> str | None:
        """Return why it cannot be used with a configuration, or None."""
        return None

    def others(self, config: Config) -> Sequence[LearningMethod]:
        """Return the other methods that a configuration lists."""
        built = [plugins.build(LearningMethod, spec) for spec in config.strategies]
        return [method for method in built if method.name != self.name]


class Strategy(LearningMethod):
    """Base of all strategies: hooks into training by gradient descent; by itself it fine-tunes on the new rows only.

    An update calls `rewrite` and `begin`, then `epoch_rows` for each epoch, `penalty` and `adjust` for each step, and
    `end`. `stepped` is for a strategy that follows the path of the weights, which only the loop sees.

    ``recalls``: it rehearses past rows. ``keeps_past``: it needs all past training rows, which must be kept for as long
    as the model learns. ``keeps_rows``: its state is a buffer of rows of every experience; before it takes part again,
    it is offered those that were learned without it. ``describes_weights``: its state follows from the weights and the
    rows alone, so that a distilled student gets its own. ``ends_first``: its `end` changes the weights that the states
    of others describe. ``perturbs``: its penalty repeats the forward pass with perturbed word embeddings.
    """

    recalls: ClassVar[bool] = False
    keeps_past: ClassVar[bool] = False
    keeps_rows: ClassVar[bool] = False
    describes_weights: ClassVar[bool] = False
    ends_first: ClassVar[bool] = False
    perturbs: ClassVar[bool] = False

    @property
    def watched(self) -> int:
        """Return how many of the last layers' states its penalty needs."""
        return 0

    @property
    def passes(self) -> int:
        """Return how many times a step costs what it costs without this strategy, roughly."""
        return 1

    def restarts(self) -> bool:
        """Return whether every update starts from the pretrained weights instead of the champion."""
        return False

    def expected_rows(self, new: int, past: int) -> int:
        """Return how many rows an epoch is expected to add to the ``new`` ones; negative if it leaves some out."""
        return 0

    def objection(self, config: Config) -> str | None:
        """Return why this strategy cannot be used with a configuration, or None.

        By default: a strategy that holds on to the champion cannot be combined with one that restarts from the
        pretrained weights, and only one strategy may recall past rows.
        """
        if self.anchored_to and (restarting := [other.name for other in self.others(config) if other.restarts()]):
            return (
                f"it holds on to the champion's {self.anchored_to}, but '{restarting[0]}' starts every update from the "
                "pretrained weights; leave one of the two out"
            )
        if self.recalls and (recalling := [other.name for other in self.others(config) if other.recalls]):
            return (
                f"it recalls past rows, and so does '{recalling[0]}': they would be learned twice; "
                "leave one of the two out"
            )
        return None

    def others(self, config: Config) -> Sequence[Strategy]:
        """Return the other strategies that a configuration lists; a closed form itself refuses their company."""
        return [method for method in super().others(config) if isinstance(method, Strategy)]

    def rewrite(self, learner: Learner, rows: pd.DataFrame, kept: Path) -> pd.DataFrame:
        """Return the new rows as they are to be learned, by all strategies, before training starts.

        Args:
            learner: with its starting weights.
            rows: the new ones.
            kept: a file for what takes long to make; a resumed run gets the same, and none is left in the end.
        """
        return rows

    def begin(self, update: Update) -> None:
        """Prepare before the first step, while the learner still has its starting weights."""

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the rows of the next epoch; of the new ones, those are trained on that every strategy returns."""
        return EpochRows(update.lesson.rows)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return a scalar to add to the loss of this step, or None."""
        return None

    def adjust(self, update: Update, step: Step) -> None:
        """Change the gradients after the backward pass, before they are clipped."""

    def stepped(self, update: Update) -> None:
        """Inspect the weights after the optimiser step: those of the last one are gone once the best are restored."""

    def end(self, update: Update) -> State:
        """Return the state after the update; the learner has the weights of its best epoch."""
        return update.state


def save_states(states: dict[str, State], folder: Path) -> None:
    """Write the strategies' states below ``folder/strategies``."""
    from safetensors.torch import save_file

    for name, state in states.items():
        path = folder / "strategies" / name
        path.mkdir(parents=True)
        metadata = {"seen": state.seen, **({} if state.experiences is None else {"experiences": state.experiences})}
        (path / "state.json").write_text(json.dumps(metadata), encoding="utf-8")
        if state.rows is not None:
            state.rows.to_parquet(path / "rows.parquet", index=False)
        if state.tensors:
            save_file({k: v.contiguous() for k, v in state.tensors.items()}, path / "tensors.safetensors")


def load_states(folder: Path) -> dict[str, State]:
    """Read all strategy states of a version, by strategy name."""
    from safetensors.torch import load_file

    states = {}
    for path in sorted((folder / "strategies").glob("*")):
        rows, tensors = path / "rows.parquet", path / "tensors.safetensors"
        metadata = json.loads((path / "state.json").read_text(encoding="utf-8"))
        states[path.name] = State(
            rows=pd.read_parquet(rows) if rows.exists() else None,
            tensors=load_file(tensors) if tensors.exists() else {},
            seen=metadata["seen"],
            experiences=tuple(metadata["experiences"]) if "experiences" in metadata else None,
        )
    return states
