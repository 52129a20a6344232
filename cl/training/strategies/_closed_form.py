"""The base of what solves for the head in closed form: unlike a strategy, it does not train it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cl import plugins
from cl.errors import ConfigError, InputError
from cl.heavy import pd
from cl.models.tunings import Tuning
from cl.plugins import Capability
from cl.training.strategies._base import LearningMethod, State, TrainingData, Update
from cl.training.strategies._kept_rows import (
    HELD_OUT,
    LEVERAGES,
    LabelledFeatures,
    choosing_rows,
    count_right,
    features_of_rows,
    has_any,
    kept_positions,
)

if TYPE_CHECKING:
    import torch

    from cl.config import Config
    from cl.models.closed_form_head import ClosedFormHead
    from cl.models.learner import Learner
    from cl.training.strategies._sufficient_statistics import SufficientStatistics


RIDGE, TEMPERATURE, ADAPTED, CHOICE = "ridge", "temperature", "adapted", "choice"
"""Names of the tensors that a closed form keeps, besides its sums."""
ROWS_AT_ONCE = 8_192
"""Rows whose expanded features, of one byte each, are in memory at a time."""
LeftOut = Callable[["pd.DataFrame"], "list[torch.Tensor]"]
"""Returns the logits (positions, labels) of each learned row as if it had not been learned."""


@dataclass(frozen=True)
class Learned:
    """The sums over all rows learned so far, and the features of each row if they are kept.

    ``rows`` has their id, features and targets, and whether they are ``held_out``: validation rows, learned as well.
    ``adapted``: the encoder has been trained on the training rows, which it therefore reads better than any other row.
    ``before``: the tensors of the state that this update goes on from; empty if everything is chosen and solved again.
    ``device``: the learner's, which solves as well if it is a GPU with enough memory; None: the CPU.
    """

    sums: SufficientStatistics
    rows: pd.DataFrame | None = None
    adapted: bool = False
    before: dict[str, torch.Tensor] = field(default_factory=dict)
    device: torch.device | None = None

    @property
    def positions(self) -> int:
        """Return how many positions of rows were learned, whatever they weigh."""
        return int(self.sums.rows) if self.rows is None else sum(map(len, self.rows["targets"]))


@dataclass(frozen=True)
class Solution:
    """A solved head: weights (features, labels), biases (labels,), the temperature of its logits, and its ridge.

    ``leverages`` are those of each kept row's positions, computed for validation rows only: what is needed to answer
    them as if they had not been learned. ``choice`` is how the ridge was chosen, for a strategy that keeps it a while.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    temperature: float = 1.0
    ridge: float = 0.0
    leverages: list[list[float]] | None = None
    choice: list[float] | None = None


@dataclass(frozen=True)
class Solved:
    """A learner with its solved head, the state that this leaves, and how many rows were added to the sums.

    Past rows are among them if the sums were computed again.
    """

    learner: Learner
    state: State
    rows: int


class ClosedForm(LearningMethod):
    """Base of the methods whose head is computed from sums over all rows of frozen features.

    The sums are exact integers: the order of the stream does not matter, nothing is forgotten, and a removed row
    leaves no trace. Each row counts in them as often as its weight says. Only the head changes, so an update costs one
    pass of the encoder over the new rows, unless the encoder adapts: then it costs a fine-tuning and a pass over all
    rows.

    ``learns_validation``: it learns validation rows too, and `left_out` says how it would answer them otherwise.
    ``remedy``: what to change where the equations have no solution.
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.LINEAR_HEAD})

    solves_head: ClassVar[bool] = True
    learns_validation: ClassVar[bool] = False
    remedy: ClassVar[str] = "learn from more rows"

    layers: int = Field(3, ge=1, description="Last layers of the encoder whose states are concatenated as features")
    adapt: Literal["never", "first", "always"] = Field(
        "never",
        description="When the encoder is fine-tuned before the head is solved. first: on the first experience; always: "
        "in every update, on all rows so far",
    )
    removable: bool = Field(
        True, description="Keep each row's rounded features (about 1 kB), so that the row can be removed later"
    )

    def new_head(self, width: int, layers: int) -> ClosedFormHead:
        """Return a head without labels that reads this many layers."""
        from cl.models.closed_form_head import ClosedFormHead

        return ClosedFormHead(width, 0, layers=layers)

    def needs_gram(self, rows: int, features: int) -> bool:
        """Return whether the head is solved from the Gram matrix, with so many rows and (expanded) features."""
        return False

    def keeps_choice(self, learned: Learned) -> bool:
        """Return whether what was chosen on validation rows before stays as it is, so that none are needed."""
        return False

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield weights (features, labels) and biases; the best of them on validation rows becomes the head."""
        raise NotImplementedError

    def objection(self, config: Config) -> str | None:
        """Reject other strategies, which would have no effect, and tunings that ``adapt`` does not fit."""
        if others := self.others(config):
            return (
                "it solves for the head over all rows, which forgets nothing: "
                f"'{others[0].name}' would have no effect; use it alone"
            )
        tuning: Tuning = plugins.build(Tuning, config.model.tuning)
        if self.adapt != "never" and not tuning.trains_encoder:
            return f"adapt: {self.adapt} has nothing to adapt with model.tuning: {tuning.name}; change one of the two"
        if self.adapt == "never" and not tuning.starts_neutral:
            return (
                f"with adapt: never, the parameters that model.tuning: {tuning.name} adds would keep their random "
                "initial values; set adapt: first, or choose another tuning"
            )
        return None

    @property
    def trains_encoder(self) -> bool:
        """Return whether the encoder adapts."""
        return self.adapt != "never"

    @property
    def adapts_always(self) -> bool:
        """Return whether the encoder adapts in every update, for which it needs a head that can be trained."""
        return self.adapt == "always"

    def adapts(self, update: Update) -> bool:
        """Return whether the encoder adapts in this update, by joint training, before the head is solved."""
        first = not update.learner.is_closed and not len(update.lesson.past())
        return self.adapts_always or (self.adapt == "first" and first)

    def solve(self, update: Update) -> Solved:
        """Add the new rows to the sums and solve; without sums yet, past rows are added first.

        Raises:
            ConfigError: the equations have no solution.
        """
        from cl.models.frozen_features import frozen_features
        from cl.training.strategies._sufficient_statistics import SufficientStatistics

        learner, lesson, state = update.learner, update.lesson, update.state
        head, fits = self._head(learner)
        restart = not (fits and self._can_continue(state, len(head.weight)))
        training, held_out = self._rows_to_add(lesson, restart=restart)
        rows = pd.concat([training, held_out], ignore_index=True)
        new = frozen_features(learner, head, rows)
        if restart:
            gram = self.needs_gram(len(new.targets), len(head.weight))
            several = new.targets.ndim == 2
            sums = SufficientStatistics.empty(len(head.weight), len(learner.labels), gram=gram, several=several)
        else:
            sums = SufficientStatistics.from_tensors(state.tensors).widened(len(learner.labels))
        sums, kept = _add_rows(sums, head, new.whole, new.targets, new.weights, device=learner.device), None
        if self.removable:
            features = features_of_rows(rows, new).assign(**{HELD_OUT: rows.index >= len(training)})
            kept = features if restart else pd.concat([state.rows, features], ignore_index=True)
        before = {} if restart else state.tensors
        learned = self._with_gram(Learned(sums, kept, self._is_adapted(update), before, learner.device), head)
        learner, solution = self.with_best_head(learner, head, learned, lesson.validation)
        return Solved(learner, _state_of(learned, solution), len(rows))

    def _can_continue(self, state: State, features: int) -> bool:
        """Return whether rows can be added to a state: it has what these settings keep."""
        from cl.training.strategies._sufficient_statistics import GRAM

        if not state.tensors or state.experiences == ():
            return False
        if self.removable:
            return state.rows is not None and HELD_OUT in state.rows
        return GRAM in state.tensors or not self.needs_gram(0, features)

    def _with_gram(self, learned: Learned, head: ClosedFormHead) -> Learned:
        """Return what is learned with a Gram matrix if it is needed, summed over the kept rows, else without one."""
        sums, features = learned.sums, len(head.weight)
        if not self.needs_gram(learned.positions, features):
            return replace(learned, sums=replace(sums, gram=None))
        if sums.gram is not None:
            return learned
        summed = _add_rows(
            sums.without_rows(gram=True), head, *kept_positions(learned.rows, head), device=learned.device
        )
        return replace(learned, sums=summed)

    def _rows_to_add(self, lesson: TrainingData, *, restart: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the training rows to add, and the validation rows if it learns them; with past ones if it restarts."""
        training, held_out = [lesson.rows], [lesson.rows.iloc[:0]]
        if restart:
            training.insert(0, lesson.past())
        if self.learns_validation:
            held_out += [lesson.past_held_out(), lesson.held_out()] if restart else [lesson.held_out()]
        return pd.concat(training, ignore_index=True), pd.concat(held_out, ignore_index=True)

    def forget(
        self, state: State, learner: Learner, ids: set[str], validation: pd.DataFrame | None
    ) -> tuple[State, Learner]:
        """Return state and learner as if the rows with these ids had never been seen.

        Raises:
            ValueError: the rows' features were not kept.
            InputError: no row was learned under one of the ids; nothing is removed.
        """
        from cl.training.strategies._sufficient_statistics import SufficientStatistics

        if state.rows is None:
            raise ValueError("the features of single rows were not kept: set removable: true and learn again")
        if unknown := sorted(ids - set(state.rows["id"])):
            raise InputError(f"no row was learned with id {', '.join(unknown)}; nothing was removed")
        removed = state.rows[state.rows["id"].isin(ids)]
        head, _ = self._head(learner)
        sums = SufficientStatistics.from_tensors(state.tensors)
        remaining = state.rows.drop(removed.index).reset_index(drop=True)
        if sums.is_weighted:  # what is subtracted from rounded sums would leave a trace
            empty = sums.without_rows(gram=sums.gram is not None)
            sums = _add_rows(empty, head, *kept_positions(remaining, head))
        else:
            features, targets, _ = kept_positions(removed, head)
            sums = _add_rows(sums, head, features, targets, sign=-1)
        adapted = bool(state.tensors[ADAPTED])
        learned = self._with_gram(Learned(sums, remaining, adapted, device=learner.device), head)
        learner, solution = self.with_best_head(learner, head, learned, validation)
        return _state_of(learned, solution), learner

    def left_out(self, learner: Learner, state: State) -> LeftOut:
        """Return the function that answers learned rows as if they had not been learned.

        Only for a method that learns validation rows.
        """
        raise NotImplementedError

    def with_best_head(
        self, learner: Learner, head: ClosedFormHead, learned: Learned, validation: pd.DataFrame | None
    ) -> tuple[Learner, Solution]:
        """Return the learner with the best candidate head, its logits scaled to be calibrated, and the solution.

        Validation rows of a class that was never learned do not count: no candidate can be right about them, and
        fitting the temperature on them would make every answer uncertain.

        Raises:
            ConfigError: the equations have no solution.
        """
        from cl.models.closed_form_head import lowest_logit
        from cl.models.frozen_features import frozen_features

        absent, held_out = learned.sums.counts == 0, None
        if validation is not None and len(validation) and not self.keeps_choice(learned):
            features = frozen_features(learner, head, choosing_rows(validation, learner.task.classes(validation)))
            present = ~has_any(features.targets, absent)
            weights = None if features.weights is None else features.weights[present]
            inputs = head.expand(features.whole[present].float())
            held_out = LabelledFeatures(inputs, features.targets[present], weights)
        solution = self.best(learned, head, held_out)
        weight, bias = solution.weight / solution.temperature, solution.bias / solution.temperature
        head.solve(weight, bias.masked_fill(absent, lowest_logit(weight[:, ~absent], bias[~absent])))
        return replace(learner, head=head.to(learner.device)), solution

    def best(self, learned: Learned, head: ClosedFormHead, held_out: LabelledFeatures | None) -> Solution:
        """Return the solution that becomes the head.

        By default the candidate with the highest accuracy on held-out rows; without such rows, the first.

        Raises:
            ConfigError: the equations have no solution.
        """
        absent = learned.sums.counts == 0
        solutions = itertools.islice(self._solutions(learned.sums, head), 1 if held_out is None else None)
        options = [(weight.float(), bias.float().masked_fill(absent, -math.inf)) for weight, bias in solutions]
        return Solution(*options[0]) if held_out is None else _best_option(options, held_out)

    def _solutions(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the candidates, or raise `ConfigError` with the setting to change if there are none."""
        import torch

        try:
            for weight, bias in self.candidates(sums, head):
                if not weight.isfinite().all():
                    raise self.unsolved
                yield weight, bias
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            raise self.unsolved from None

    @property
    def unsolved(self) -> ConfigError:
        """The error that says which setting to change where the equations have no solution."""
        return ConfigError(f"strategy: {self.name}: its equations have no solution for these rows; {self.remedy}")

    def _is_adapted(self, update: Update) -> bool:
        """Return whether the encoder has been trained on the rows, in this update or before."""
        if update.state.tensors:
            return self.adapts(update) or bool(update.state.tensors[ADAPTED])
        return self.adapts(update) or bool(update.lesson.known)

    def _head(self, learner: Learner) -> tuple[ClosedFormHead, bool]:
        """Return a head for this strategy, and whether it reads the same features as the learner's head."""
        from cl.models.closed_form_head import ClosedFormHead

        head = self.new_head(learner.feature_width, min(self.layers, learner.depth))
        return head, isinstance(learner.head, ClosedFormHead) and head.reads_as(learner.head)


def _add_rows(
    sums: SufficientStatistics,
    head: ClosedFormHead,
    rounded: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor | None = None,
    *,
    sign: int = 1,
    device: torch.device | None = None,
) -> SufficientStatistics:
    """Return the sums with these rows, which are expanded in blocks to bound memory; on the device if it is a GPU."""
    from cl.training.strategies._factor import solving_device

    chosen = None if device is None else solving_device(device, len(head.weight))
    slices = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(rounded), ROWS_AT_ONCE)]
    blocks = (
        (head.expand_integers(rounded[block]), targets[block], None if weights is None else weights[block])
        for block in slices
    )
    return sums.add_blocks(blocks, is_weighted=weights is not None, sign=sign, device=chosen)


def _best_option(options: list[tuple[torch.Tensor, torch.Tensor]], held_out: LabelledFeatures) -> Solution:
    """Return the most accurate option, the first on a tie, with the temperature of its logits."""
    from cl.models.temperature import fit_temperature

    logits = [held_out.inputs @ weight + bias for weight, bias in options]
    correct = [count_right(scores, held_out.targets) for scores in logits]
    best = correct.index(max(correct))
    return Solution(*options[best], fit_temperature(logits[best], held_out.targets))


def _state_of(learned: Learned, solution: Solution) -> State:
    """Return what a later update needs: the sums, what it must know of the solution, and the rows if they are kept."""
    import torch

    rows = None if learned.rows is None else learned.rows.drop(columns=LEVERAGES, errors="ignore")
    if rows is not None and solution.leverages is not None:
        rows[LEVERAGES] = solution.leverages
    values = {RIDGE: solution.ridge, TEMPERATURE: solution.temperature, ADAPTED: float(learned.adapted)}
    settings = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    if solution.choice is not None:
        settings[CHOICE] = torch.tensor(solution.choice, dtype=torch.float64)
    return State(rows=rows, tensors={**learned.sums.to_tensors(), **settings}, seen=learned.positions)
