"""Dark experience replay: replay rows and pull their logits back to the stored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from cl.heavy import pd
from cl.plugins import Capability
from cl.tasks import IGNORED, Task
from cl.training.strategies import State, Step, Update
from cl.training.strategies._recalled_rows import RecalledRows

if TYPE_CHECKING:
    import torch

LOGITS, EARLIER = "cl_logits", "logits"
"""The column of a buffer with stored logits, and its name in versions of before."""


class DER(RecalledRows):
    """DER++ (Buzzega et al., 2020, equation 6): replay that also keeps the logits of recalled rows.

    The loss is ``new + alpha * MSE(logits now, logits stored) + beta * cross-entropy`` of recalled rows, the error
    a mean over logits as in the authors' code. Unlike in the paper, logits are stored at the end of an experience, from
    its best weights, not during training; both terms use the same draw from the buffer; and new and recalled rows
    share a batch and its mean, so with beta 1 a recalled row has the weight of a new one (the paper's balance is
    ratio 1). Labels added after a row was stored are excluded from its error.

    >>> DER(rows=100, ratio=2.0).expected_rows(new=10, past=1000)  # rows of the buffer that an epoch adds
    20
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.LABELS})

    bytes: int | None = Field(
        None,
        ge=1,
        description="Most bytes of text in the buffer, not counting the logits; null: limit rows only",
    )
    alpha: float = Field(0.3, ge=0, description="Weight of the squared distance between current and stored logits")
    beta: float = Field(1.0, ge=0, description="Weight of a recalled row's cross-entropy; a new row's is 1")

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return both terms for the batch's recalled rows, less what the loss contains already."""
        rows = _named(update.state.rows)
        recalled = {} if rows is None else rows[rows["id"].isin(step.ids)].set_index("id")[LOGITS].to_dict()
        indices = [index for index, id in enumerate(step.ids) if id in recalled]
        if not indices:
            return None
        task = update.learner.task
        distance = self.alpha * _logit_distance(task, step, {index: recalled[step.ids[index]] for index in indices})
        return distance if self.beta == 1 else distance + (self.beta - 1) * _loss_share(task, step, indices)

    def end(self, update: Update) -> State:
        """Choose the rows to keep as replay does, and store the logits of rows new to the buffer."""
        from cl.models.inference import row_logits

        state = super().end(update)
        rows = _named(state.rows)
        assert rows is not None
        rows = rows.assign(**{LOGITS: rows.get(LOGITS, pd.Series(index=rows.index, dtype=object))})
        fresh = rows[LOGITS].isna()
        logits = [list(record.numpy()) for record in row_logits(update.learner, rows[fresh])]
        rows.loc[fresh, LOGITS] = pd.Series(logits, index=rows.index[fresh], dtype=object)
        return State(rows=rows, seen=state.seen)


def _named(buffer: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return a buffer with its logits under today's name; a column of texts in the data may have the earlier one."""
    if buffer is None or LOGITS in buffer or EARLIER not in buffer:
        return buffer
    texts = buffer[EARLIER].map(lambda value: isinstance(value, str)).any()
    return buffer if texts else buffer.rename(columns={EARLIER: LOGITS})


def _logit_distance(task: Task, step: Step, stored: dict[int, list[Any]]) -> torch.Tensor:
    """Return the mean squared difference between current and stored logits over the batch's recalled rows.

    The squares of a row are multiplied by its weight.
    """
    import numpy as np
    import torch

    from cl.models.inference import overlapping_logits

    current, weights, squares = task.by_row(step.logits, step.batch.targets), step.batch.weights, []
    for index, past in stored.items():
        if len(past):
            now, then = overlapping_logits(current[index], torch.from_numpy(np.stack([*past])))
            own = (now - then).square().flatten()
            squares.append(own if weights is None else own * weights[index])
    return torch.cat(squares or [step.logits.new_zeros(1)]).mean()


def _loss_share(task: Task, step: Step, indices: list[int]) -> torch.Tensor:
    """Return the contribution of these rows to the batch's mean loss."""
    import torch

    targets = torch.full_like(step.batch.targets, IGNORED)
    targets[indices] = step.batch.targets[indices]
    total, weights = (step.batch.targets != IGNORED).sum(), step.batch.weights
    if weights is not None:
        share = (targets != IGNORED).sum() / total
        return task.loss(step.logits, targets, weights) * share
    return task.loss(step.logits, targets, summed=True) / total
