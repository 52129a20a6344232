"""Strategies that solve for the head instead of training it: the base of all, from features to a solved learner."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import pandas as pd
from pydantic import Field

from cl import plugins
from cl.errors import ConfigError, InputError
from cl.models.tunings import Tuning
from cl.training.strategies import State, Strategy, Update

if TYPE_CHECKING:
    import torch

    from cl.config import Config
    from cl.models.closed_form_head import ClosedFormHead
    from cl.models.learner import Learner
    from cl.models.tunings import Tuning
    from cl.training.strategies._sufficient_statistics import SufficientStatistics


CHOOSING_ROWS = 600
"""Validation rows that choose among candidates: one parameter on a grid of four needs no more."""


class ClosedForm(Strategy):
    """Base of the strategies whose head follows from sums over all rows, on features that do not move.

    The sums are exact whole numbers: the order of the stream changes nothing, nothing is forgotten, and a row
    that is taken out leaves no trace. What moves is the head alone, so that an update costs one pass of the encoder
    over the new rows.
    """

    closed: ClassVar[bool] = True

    remedy: ClassVar[str] = "learn from more rows"

    layers: int = Field(3, ge=1, description="Last layers of the encoder that are read, side by side")
    adapt: Literal["never", "first"] = Field(
        "never", description="first: the encoder is fine-tuned on the first experience, then frozen"
    )
    removable: bool = Field(
        True, description="Keep each row's rounded features (about 1 kB), so that it can be taken out again"
    )

    def new_head(self, width: int, layers: int) -> ClosedFormHead:
        """Return the head without labels; ``layers`` is what the encoder has of those asked for."""
        from cl.models.closed_form_head import ClosedFormHead

        return ClosedFormHead(width, 0, layers=layers)

    def candidates(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Yield weights (features, labels) and biases; the best of them on validation rows becomes the head."""
        raise NotImplementedError

    def objection(self, config: Config) -> str | None:
        """Refuse company that would have nothing to do, and a tuning that has nothing to read with or to adapt."""
        if others := self.others(config):
            return (
                "it solves for the head and trains at most on the first experience, where nothing is held or recalled "
                f"yet: '{others[0].name}' would have nothing to do beside it; use it alone"
            )
        tuning: Tuning = plugins.build(Tuning, config.model.tuning)
        if self.adapt == "first" and not tuning.moves:
            return f"adapt: first has nothing to adapt with model.tuning: {tuning.name}; choose another of the two"
        if self.adapt == "never" and not tuning.neutral:
            return (
                f"with adapt: never nothing trains what model.tuning: {tuning.name} adds, and texts would be read "
                "through its random start; set adapt: first, or choose another tuning"
            )
        return None

    def descends(self, update: Update) -> bool:
        """Tell whether this is the first experience and the encoder may adapt to it."""
        return self.adapt == "first" and not update.learner.is_closed and not len(update.lesson.past())

    def finish(self, update: Update) -> Learner:
        """Add the new rows to the sums and solve; rows of the past come first when there are no sums yet."""
        from cl.models.frozen_features import frozen_features
        from cl.training.strategies._sufficient_statistics import SufficientStatistics

        learner, lesson = update.learner, update.lesson
        head, fits = self._head(learner)
        rows = lesson.rows if fits and update.state.tensors else pd.concat([lesson.past(), lesson.rows])
        new = frozen_features(learner, head, rows.reset_index(drop=True))
        if fits and update.state.tensors:
            sums = SufficientStatistics.from_tensors(update.state.tensors).widened(len(learner.labels))
        else:
            sums = SufficientStatistics.empty(len(head.weight), len(learner.labels))
        sums = _added(sums, head, new.whole, new.targets)
        update.scratch.update({**sums.to_tensors(), "whole": new.whole, "targets": new.targets, "row": new.row})
        return self.solved(learner, head, sums, lesson.validation)

    def solved_rows(self, update: Update) -> int:
        """Return how many rows were added to the sums: those of the past as well where the sums began anew."""
        row = update.scratch["row"]
        return int(row.max()) + 1 if len(row) else 0

    def remember(self, update: Update) -> State:
        """Return the sums, and each row's features where they are wanted."""
        scratch, state, lesson = update.scratch, update.state, update.lesson
        sums = {name: scratch[name] for name in ("counts", "sums", "gram")}
        added = int(scratch["row"].max()) + 1 if len(scratch["row"]) else 0
        rows = lesson.rows if added <= len(lesson.rows) else pd.concat([lesson.past(), lesson.rows])
        kept = None
        if self.removable:
            old = state.rows if added <= len(lesson.rows) else None
            kept = pd.concat([old, _rows(rows["id"].tolist(), scratch)], ignore_index=True)
        return State(rows=kept, tensors=sums, seen=int(sums["counts"].sum()))

    def forget(
        self, state: State, learner: Learner, ids: set[str], validation: pd.DataFrame | None
    ) -> tuple[State, Learner]:
        """Return state and learner as if rows with these ids had never been seen.

        Raises:
            ValueError: the rows' features were not kept.
            InputError: no row was learnt under some of the ids; nothing has been taken out.
        """
        import torch

        from cl.training.strategies._sufficient_statistics import SufficientStatistics

        if state.rows is None:
            raise ValueError("the features of single rows were not kept: set removable: true and learn again")
        if unknown := sorted(ids - set(state.rows["id"])):
            raise InputError(f"no row was learnt under {', '.join(unknown)}; nothing has been taken out")
        gone = state.rows[state.rows["id"].isin(ids)]
        head, _ = self._head(learner)
        sums = SufficientStatistics.from_tensors(state.tensors)
        for features, targets in zip(gone["features"], gone["targets"], strict=True):
            whole = torch.frombuffer(bytearray(features), dtype=torch.int8).view(len(targets), -1)
            sums = _added(sums, head, whole, torch.as_tensor(list(targets)), sign=-1)
        left = state.rows.drop(gone.index).reset_index(drop=True)
        after = State(rows=left, tensors=sums.to_tensors(), seen=sums.rows)
        return after, self.solved(learner, head, sums, validation)

    def solved(
        self, learner: Learner, head: ClosedFormHead, sums: SufficientStatistics, validation: pd.DataFrame | None
    ) -> Learner:
        """Return the learner with the candidate head that is right most often on validation rows.

        Rows of a class that has none in the sums have no say: no candidate can be right about them, and a temperature
        that allowed for them would leave every answer in doubt.

        Raises:
            ConfigError: the equations have no solution.
        """
        from cl.models.closed_form_head import lowest_logit
        from cl.models.frozen_features import frozen_features

        absent = sums.counts == 0
        found = itertools.islice(self._solutions(sums, head), None if _some(validation) else 1)
        options = [(weight.float(), bias.float().masked_fill(absent, -math.inf)) for weight, bias in found]
        (weight, bias), scale = options[0], 1.0
        if validation is not None and len(validation):
            shown = frozen_features(learner, head, _few(validation, learner.task.classes(validation)))
            there = ~absent[shown.targets]
            inputs = head.expand(shown.whole[there].float())
            weight, bias, scale = _most_often_right(options, inputs, shown.targets[there])
        weight, bias = weight / scale, bias / scale
        head.solve(weight, bias.masked_fill(absent, lowest_logit(weight[:, ~absent], bias[~absent])))
        return replace(learner, head=head.to(learner.device))

    def _solutions(
        self, sums: SufficientStatistics, head: ClosedFormHead
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the candidates, or say which field makes them have none."""
        import torch

        unsolved = ConfigError(f"strategy: {self.name}: its equations have no solution for these rows; {self.remedy}")
        try:
            for weight, bias in self.candidates(sums, head):
                if not weight.isfinite().all():
                    raise unsolved
                yield weight, bias
        except torch.linalg.LinAlgError:
            raise unsolved from None

    def _head(self, learner: Learner) -> tuple[ClosedFormHead, bool]:
        """Return a head for this strategy, and whether it reads what the learner's own reads."""
        from cl.models.closed_form_head import ClosedFormHead

        head = self.new_head(learner.width, min(self.layers, learner.depth))
        return head, isinstance(learner.head, ClosedFormHead) and head.reads_as(learner.head)


def _added(
    sums: SufficientStatistics, head: ClosedFormHead, whole: torch.Tensor, targets: torch.Tensor, *, sign: int = 1
) -> SufficientStatistics:
    """Expand rows a block at a time, so that memory stays bounded."""
    for start in range(0, len(whole), 4_096):
        block = slice(start, start + 4_096)
        sums = sums.add(head.expand(whole[block].float()), targets[block], sign=sign)
    return sums


def _few(rows: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Return at most `CHOOSING_ROWS` rows, the same for the same rows in any order, every class in turn."""
    if len(rows) <= CHOOSING_ROWS:
        return rows
    by_id = rows.assign(class_=classes).sort_values("id")
    turn = by_id.groupby("class_").cumcount()
    return by_id.assign(turn=turn).sort_values(["turn", "id"]).head(CHOOSING_ROWS).drop(columns=["class_", "turn"])


def _some(rows: pd.DataFrame | None) -> bool:
    return rows is not None and not rows.empty


def _most_often_right(
    options: list[tuple[torch.Tensor, torch.Tensor]], inputs: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return weight and bias of the best option, the first among equals, and the temperature of its logits."""
    from cl.models.temperature import fit_temperature

    logits = [inputs @ weight + bias for weight, bias in options]
    right = [int((one.argmax(-1) == targets).sum()) for one in logits]
    best = right.index(max(right))
    return *options[best], fit_temperature(logits[best], targets)


def _rows(ids: list[str], scratch: dict[str, torch.Tensor]) -> pd.DataFrame:
    """Return one line a row: id, its features as bytes, and the targets of its positions."""
    counts = [0] * len(ids)
    for row in scratch["row"].tolist():
        counts[row] += 1
    whole, targets = scratch["whole"].split(counts), scratch["targets"].split(counts)
    return pd.DataFrame(
        {
            "id": ids,
            "features": [one.numpy().tobytes() for one in whole],
            "targets": [one.tolist() for one in targets],
        }
    )
