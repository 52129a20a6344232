"""Dark experience replay: recalled rows also pull the logits back to what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pydantic import Field

from cl.training.strategies import State, Step, Update
from cl.training.strategies.replay import Replay

if TYPE_CHECKING:
    import torch


class DER(Replay):
    """DER++ (Buzzega et al., 2020, equation 6): replay, and recalled rows keep the logits they once had.

    The loss is ``new + alpha * MSE(logits now, logits stored) + beta * cross-entropy`` of recalled rows, the error
    a mean over logits as in the authors' code. Where we differ: logits are stored when the experience ends, by its
    best weights, not while training; one draw from the buffer serves both terms; new and recalled rows share a batch
    and its mean, so that with beta 1 a recalled row weighs what a new one does (the paper's balance is ratio 1).
    Labels that came after a row was stored are left out of its error.
    """

    bytes: int | None = Field(
        None,
        ge=1,
        description="Bytes of text that the buffer holds at most, the logits come on top; null: only rows count",
    )
    alpha: float = Field(0.3, ge=0, description="Weight of the squared distance between logits now and as stored")
    beta: float = Field(1.0, ge=0, description="Weight of a recalled row's cross-entropy; a new row's is 1")

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return both terms for the batch's recalled rows, as far as the loss does not hold them yet."""
        rows = update.state.rows
        recalled = {} if rows is None else rows[rows["id"].isin(step.ids)].set_index("id")["logits"].to_dict()
        places = [at for at, row in enumerate(step.ids) if row in recalled]
        if not places:
            return None
        distance = self.alpha * _distance(step, {at: recalled[step.ids[at]] for at in places})
        return distance if self.beta == 1 else distance + (self.beta - 1) * _share_of_loss(step, places)

    def remember(self, update: Update) -> State:
        """Keep rows as replay does, those that are new to the buffer with their logits."""
        from cl.models.inference import to_records

        state = super().remember(update)
        assert state.rows is not None
        rows = state.rows.assign(logits=state.rows.get("logits", pd.Series(index=state.rows.index, dtype=object)))
        fresh = rows["logits"].isna()
        recorded = [list(own.numpy()) for own in to_records(update.learner, rows[fresh])]
        rows.loc[fresh, "logits"] = pd.Series(recorded, index=rows.index[fresh], dtype=object)
        return State(rows=rows, seen=state.seen)


def _distance(step: Step, stored: dict[int, list]) -> torch.Tensor:
    """Return the mean squared difference of logits over the batch's rows that have some in store."""
    import numpy as np
    import torch

    from cl.models.inference import pair_rows, sum_by_row

    now = sum_by_row(step.logits, step.batch.targets)
    pairs = [pair_rows(now[at], torch.from_numpy(np.stack([*then]))) for at, then in stored.items() if len(then)]
    squares = torch.cat([(one - other).square().flatten() for one, other in pairs] or [step.logits.new_zeros(1)])
    return squares.mean()


def _share_of_loss(step: Step, places: list[int]) -> torch.Tensor:
    """Return what these rows of the batch contribute to its mean cross-entropy."""
    import torch

    from cl.tasks import IGNORED

    targets = torch.full_like(step.batch.targets, IGNORED)
    targets[places] = step.batch.targets[places]
    entropies = torch.nn.functional.cross_entropy(
        step.logits.flatten(0, -2).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return entropies / (step.batch.targets != IGNORED).sum()
