"""Averaged gradient episodic memory: no step may raise the loss on a sample of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from cl.config import PluginSpec, check_plugin
from cl.training.strategies import State, Step, Strategy, Update
from cl.training.strategies.replay import keep_rows

if TYPE_CHECKING:
    import torch


class AGEM(Strategy):
    """A-GEM (Chaudhry et al., 2019, "Efficient Lifelong Learning with A-GEM", equation 11).

    Each step draws rows from a buffer and takes the gradient of their mean loss. Where the step's gradient points
    against it, that part is projected away: ``g - (g . ref / ref . ref) ref``. The buffer is not replayed. Where we
    differ: the gradient that is projected holds the other strategies' penalties, and AdamW, not SGD, turns it into
    a step, so the promise that the past loss does not rise holds for the gradient, not for the step itself.
    """

    keeps_rows: ClassVar[bool] = True

    rows: int = Field(2_000, ge=1, description="Rows that the buffer holds at most")
    bytes: int | None = Field(
        None, ge=1, description="Bytes of text that the buffer holds at most; null: only rows count"
    )
    drawn: int = Field(64, ge=1, description="Rows of the buffer that each step is held against")
    buffer: PluginSpec = Field("class_balanced", description="Which rows are kept: a file of cl/training/buffers")

    @field_validator("buffer")
    @classmethod
    def _buffer_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("buffers", spec)

    def adjust(self, update: Update, step: Step) -> None:
        """Project the gradient if it points against that of the past."""
        import torch

        if update.state.rows is None or update.state.rows.empty:
            return
        parameters = [parameter for _, parameter in update.learner.parameters()]
        own = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        for parameter, gradient in zip(parameters, project_gradient(own, self._reference(update, step)), strict=True):
            parameter.grad = gradient

    def remember(self, update: Update) -> State:
        """Let the buffer's policy choose among what it holds and what is new."""
        rows = keep_rows(update, self.buffer, self.rows, self.bytes)
        return State(rows=rows, seen=update.state.seen + len(update.lesson.rows))

    def _reference(self, update: Update, step: Step) -> list[torch.Tensor]:
        """Return the gradient on rows drawn from the buffer; what the step has accumulated is not touched."""
        import torch

        from cl.models.batching import collate
        from cl.models.inference import token_loss

        learner, rows, rng = update.learner, update.state.rows, update.lesson.rng
        assert rows is not None
        places = sorted(rng.choice(len(rows), size=min(self.drawn, len(rows)), replace=False))
        encoded = learner.encode(rows.iloc[places])
        batch = collate(learner.task, encoded, list(range(len(places))), learner.tokenizer.pad_token_id, learner.device)
        # in the format that the step itself was computed in
        with torch.autocast(learner.device.type, torch.bfloat16, enabled=step.logits.dtype == torch.bfloat16):
            loss = token_loss(learner.logits(batch.input_ids, batch.mask), batch.targets)
        return list(
            torch.autograd.grad(loss, [parameter for _, parameter in learner.parameters()], materialize_grads=True)
        )


def project_gradient(own: list[torch.Tensor], reference: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return a gradient, one tensor a parameter, without the part that points against the reference."""
    import torch

    along = torch.stack([(one * past).sum() for one, past in zip(own, reference, strict=True)]).sum()
    if along >= 0:
        return own
    factor = along / torch.stack([past.square().sum() for past in reference]).sum()
    return [one - factor * past for one, past in zip(own, reference, strict=True)]
