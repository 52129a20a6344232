"""Random projection and ridge regression on frozen features: the most accurate of the closed forms."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cl.heavy import pd
from cl.training.strategies._base import State
from cl.training.strategies._closed_form import (
    CHOICE,
    RIDGE,
    TEMPERATURE,
    ClosedForm,
    Learned,
    LeftOut,
    Solution,
)
from cl.training.strategies._kept_rows import (
    CHOOSING_POSITIONS,
    CHOOSING_ROWS,
    HELD_OUT,
    LEVERAGES,
    LabelledFeatures,
    expand_rows,
    kept_positions,
    stored_features,
)

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.models.learner import Learner
    from cl.training.strategies._ridge import FeatureForm, Leverage, RidgeSolution, RowForm

ROWS_AT_ONCE = 512
"""Rows whose expanded features are in memory at a time."""
MOST_CORRECTED = 64
"""Up to so many new rows, leverages of old ones are corrected for them; for more, they are computed again."""
BETWEEN = 0.5
"""The score in the middle between 0, that of a class which a row does not have, and 1."""
GROWTH = 1.1
"""Ridge and temperature are chosen again once there are so many times the rows of their last choice."""


class RanPAC(ClosedForm):
    """RanPAC (McDonnell et al., 2023, equations 4 to 6): ridge regression on randomly expanded features.

    Unlike in the paper, features are the concatenated mean states of the last layers, not of the last one only, and
    are rounded to int8. The ridge is chosen by generalised cross-validation over all rows; the paper holds out
    training rows for that. Validation rows are learned too: what they would be answered without having been learned
    follows exactly from the solution.

    Where a row may have any number of labels, it is one regression for each of them, on 1 where the label applies and 0
    where it does not; the probability is ``sigmoid((score - 1/2) / temperature)``.

    The sums do not depend on the order of the stream; ridge and temperature are chosen again only once the rows have
    grown by a tenth since their last choice, when rows are forgotten, or when other ridges are given. So an update of
    a few rows solves the equations once.

    >>> RanPAC(features=500, ridge=[1.0, 10.0]).trains_encoder
    False
    """

    learns_validation: ClassVar[bool] = True

    remedy: ClassVar[str] = "give larger values of ridge"

    features: int = Field(
        5_000,
        ge=0,
        description="Number of random features; the sums grow with its square (2 bytes each); 0: the encoder's own",
    )
    ridge: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        [10.0, 100.0, 1_000.0, 10_000.0],
        min_length=1,
        description="Ridge strengths to try; again once the rows have grown by a tenth since the last choice",
    )
    seed: int = Field(0, ge=0, description="Seed of the random projection")

    def new_head(self, width: int, layers: int) -> ClosedFormHead:
        """Return a head with the random expansion."""
        from cl.models.closed_form_head import ClosedFormHead

        return ClosedFormHead(width, 0, layers=layers, expansion=self.features, seed=self.seed)

    def needs_gram(self, rows: int, features: int) -> bool:
        """Return whether the equations over features are smaller than those over the rows that are kept."""
        return not self.removable or rows > features

    def best(self, learned: Learned, head: ClosedFormHead, held_out: LabelledFeatures | None) -> Solution:
        """Return the solution with the ridge that cross-validation prefers.

        It is generalised cross-validation over all rows, unless the encoder has been trained on them: then validation
        rows decide, each as if it had not been learned. The temperature is fitted on them too, or on others if there
        are none. Both stay as they are while `keeps_choice` says so.
        """
        import torch

        from cl.models.temperature import fit_temperature
        from cl.training.strategies._ridge import best_solution, left_out
        from cl.training.strategies._sufficient_statistics import indicators

        form, keeps = self._equations(learned, head), self.keeps_choice(learned)
        absent = learned.sums.counts == 0
        offset = -BETWEEN if learned.sums.has_several else 0.0
        bias = torch.full((len(absent),), offset).masked_fill(absent, -math.inf)
        empty = LabelledFeatures(torch.zeros(0, len(head.weight)), torch.zeros(0, dtype=torch.int64))
        choosing = empty if keeps else held_out or expand_rows(learned.rows, head, most=CHOOSING_ROWS)
        rows = choosing.thinned(CHOOSING_POSITIONS)

        def without_each(solution: RidgeSolution) -> torch.Tensor:
            fitted = rows.inputs.double() @ solution.weight
            return left_out(fitted, rows.weighted(form.leverage(solution.ridge)(rows.inputs)), rows.targets)

        def squared_error(solution: RidgeSolution) -> float:
            wanted = indicators(rows.targets, solution.weight.shape[1])
            return float((without_each(solution) - wanted).square().mean())

        try:
            criterion = squared_error if learned.adapted and held_out else None
            solution = best_solution(form, [float(learned.before[RIDGE])] if keeps else self.ridge, criterion)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            raise self.unsolved from None
        if keeps:
            temperature, choice = float(learned.before[TEMPERATURE]), learned.before[CHOICE].tolist()
        else:
            counted = None if held_out else rows.weights  # what is measured counts once
            temperature = fit_temperature(without_each(solution).float() + bias, rows.targets, counted)
            choice = [float(learned.sums.rows), *self.ridge]
        leverages = self._kept_leverages(learned, head, form, solution.ridge)
        return Solution(solution.weight.float(), bias, temperature, solution.ridge, leverages, choice)

    def keeps_choice(self, learned: Learned) -> bool:
        """Return whether the ridge and the temperature stay: the rows have grown by less than a tenth since."""
        if CHOICE not in learned.before:
            return False
        rows, *ridges = learned.before[CHOICE].tolist()
        return ridges == self.ridge and rows <= learned.sums.rows < GROWTH * rows

    def left_out(self, learner: Learner, state: State) -> LeftOut:
        """Return the function that answers learned rows as if the position in question had not been learned."""
        import torch

        from cl.models.closed_form_head import ClosedFormHead
        from cl.models.frozen_features import feature_reader
        from cl.models.weights import row_weights
        from cl.tasks import known_positions
        from cl.training.strategies._ridge import left_out

        head, task = learner.head, learner.task
        assert isinstance(head, ClosedFormHead)
        temperature, leverage = float(state.tensors[TEMPERATURE]), self._leverage(state, head)

        @torch.inference_mode()
        def logits_of(rows: pd.DataFrame) -> list[torch.Tensor]:
            encoded, logits, weights = learner.encode(rows), list[torch.Tensor](), row_weights(rows)
            counted = torch.ones(len(rows)) if weights is None else torch.from_numpy(weights).float()
            features = feature_reader(learner, head)(encoded)
            for start in range(0, len(encoded), ROWS_AT_ONCE):
                block = slice(start, start + ROWS_AT_ONCE)
                whole, targets = features[block], [task.flat_targets([row]) for row in encoded[block]]
                counts = counted[block]
                known = [known_positions(own) & bool(count > 0) for own, count in zip(targets, counts, strict=True)]
                inputs = head.expand(torch.cat(whole).float().to(learner.device)).cpu()
                learned = [own[is_known] for own, is_known in zip(whole, known, strict=True)]
                fitted, is_known = inputs @ head.weight.cpu(), torch.cat(known)
                share = leverage(learned) * counts.repeat_interleave(torch.tensor([len(own) for own in learned]))
                fitted[is_known] = left_out(fitted[is_known], share, torch.cat(targets)[is_known], 1 / temperature)
                logits += (fitted + head.bias.cpu()).split([len(row) for row in whole])
            return logits

        return logits_of

    def _leverage(self, state: State, head: ClosedFormHead) -> Callable[[list[torch.Tensor]], torch.Tensor]:
        """Return the function from learned rows' features to their leverages: as kept, else computed."""
        import torch

        from cl.training.strategies._sufficient_statistics import SufficientStatistics

        kept = pd.DataFrame() if state.rows is None else state.rows
        known = dict(zip(kept["features"], kept[LEVERAGES], strict=True)) if LEVERAGES in kept else {}
        known = {features: leverages for features, leverages in known.items() if len(leverages)}

        @functools.cache
        def computed() -> Leverage:
            sums = SufficientStatistics.from_tensors(state.tensors)
            return self._equations(Learned(sums, state.rows), head).leverage(float(state.tensors[RIDGE]))

        def leverage(rows: list[torch.Tensor]) -> torch.Tensor:
            kept_leverages = [known.get(row.numpy().tobytes(), ()) for row in rows]
            if any(len(own) < len(row) for own, row in zip(kept_leverages, rows, strict=True)):
                return computed()(head.expand(torch.cat(rows).float()))
            return torch.tensor([value for own in kept_leverages for value in own])

        return leverage

    def _kept_leverages(
        self, learned: Learned, head: ClosedFormHead, form: FeatureForm | RowForm, ridge: float
    ) -> list[list[float]] | None:
        """Return the leverages of kept validation rows: computed, or corrected for the few rows that are new."""
        from cl.training.strategies._ridge import RowForm

        rows = learned.rows
        if rows is None or LEVERAGES not in rows or isinstance(form, RowForm) or not self.keeps_choice(learned):
            return _leverages(rows, head, form.leverage(ridge))
        is_new = rows[LEVERAGES].isna()
        if is_new.sum() > MOST_CORRECTED:
            return _leverages(rows, head, form.leverage(ridge))
        whole, _, weights = kept_positions(rows[is_new], head)
        lost = form.lost_leverage(ridge, head.expand_integers(whole), weights)
        fresh = _leverages(rows[is_new], head, form.leverage(ridge))
        loss = _leverages(rows[~is_new], head, lost)
        assert fresh is not None and loss is not None
        old = zip(rows[LEVERAGES][~is_new], loss, strict=True)
        return [[before - less for before, less in zip(own, parts, strict=True)] for own, parts in old] + fresh

    def _equations(self, learned: Learned, head: ClosedFormHead) -> FeatureForm | RowForm:
        """Return the equations over rows while these are fewer, else over features."""
        from cl.models.closed_form_head import SIGMAS, STEPS
        from cl.training.strategies._factor import CPU, solving_device
        from cl.training.strategies._ridge import FeatureForm, RowForm

        unit = STEPS / SIGMAS  # integer steps per standard deviation: ridges do not depend on the rounding
        if learned.sums.gram is None:
            whole, targets, weights = kept_positions(learned.rows, head)
            return RowForm(head.expand_integers(whole), targets, len(learned.sums.counts), unit, weights)
        device = CPU if learned.device is None else solving_device(learned.device, len(head.weight))
        return FeatureForm(learned.sums, unit, device)


def _leverages(rows: pd.DataFrame | None, head: ClosedFormHead, leverage: Leverage) -> list[list[float]] | None:
    """Return the leverages of the positions of kept validation rows; those of training rows are not needed."""
    import torch

    if rows is None or HELD_OUT not in rows:
        return None
    leverages, held_out = [list[float]() for _ in rows.index], rows[HELD_OUT].to_numpy().nonzero()[0]
    for start in range(0, len(held_out), ROWS_AT_ONCE):
        block = held_out[start : start + ROWS_AT_ONCE]
        features = [stored_features(rows["features"].iloc[index], head) for index in block]
        values = leverage(head.expand(torch.cat(features).float())).split([len(row) for row in features])
        for index, own in zip(block, values, strict=True):
            leverages[index] = own.tolist()
    return leverages
