"""Non-collision LoRA: change few weights, so that updates seldom change the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.config import Config
from cl.training.strategies import Step, Strategy, Update
from cl.training.strategies._lora import why_no_plain_lora

if TYPE_CHECKING:
    import torch


class NLoRA(Strategy):
    """N-LoRA (Yang et al., 2024, "Is parameter collision hindering continual learning in LLMs?"): needs LoRA.

    The penalty is ``strength`` times the sum over layers of the absolute values of what this update adds to the
    weights, ``|B A|_1``: where each update changes few weights, two of them seldom change the same, and less is
    overwritten.
    Unlike in the paper, an update goes on with the champion's matrices in place of new ones next to frozen ones, and
    what counts is the difference, ``|B A - B_0 A_0|_1``; so it also suits language models, whose versions refer to
    weights that no update is merged into.

    >>> from cl.config import Config
    >>> NLoRA().objection(Config(strategy='n_lora', model={'tuning': 'lora'})) is None
    True
    """

    anchored_to: ClassVar[str | None] = "weights"

    strength: float = Field(1e-5, gt=0, description="Weight of the sum of absolute changes (lambda)")

    def objection(self, config: Config) -> str | None:
        """Reject any other tuning."""
        return why_no_plain_lora(config, "bounds what LoRA adds to the weights") or super().objection(config)

    def begin(self, update: Update) -> None:
        """Record the matrices that this update starts from."""
        from cl.models.tunings.lora import matrices

        for name, (up, down) in matrices(update.learner.encoder).items():
            update.scratch[f"up.{name}"] = up.detach().clone()
            update.scratch[f"down.{name}"] = down.detach().clone()

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the absolute changes of all adapted weights, summed."""
        import torch

        from cl.models.tunings.lora import matrices

        terms = []
        for name, (up, down) in matrices(update.learner.encoder).items():
            old_up, old_down = (update.scratch[f"{part}.{name}"].to(up.device) for part in ("up", "down"))
            terms.append((torch.cat([up, -old_up], 1) @ torch.cat([down, old_down])).abs().sum())
        return self.strength * torch.stack(terms).sum()
