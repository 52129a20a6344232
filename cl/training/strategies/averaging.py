"""Weight averaging: between the champion's weights and the challenger's, the point that does best on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.training.strategies import Strategy, Update

if TYPE_CHECKING:
    import torch

    from cl.models.learner import Learner


class Averaging(Strategy):
    """WiSE-FT (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models", section 3).

    When the challenger has been trained, the line from the champion's weights to its own is walked in equal steps, and
    the weights that do best on the validation rows of all experiences (score, then loss) are left. Where we differ:
    the champion takes the place of the zero-shot model, and the coefficient is chosen, not fixed. Labels that are
    new have no weights in the champion: theirs are the challenger's.
    """

    holds: ClassVar[str | None] = "weights"

    steps: int = Field(10, ge=1, description="Steps between champion and challenger; each is one look at validation")

    def begin(self, update: Update) -> None:
        """Keep the champion's weights."""
        young = _blocks_since(update)
        if update.lesson.known:
            for name, parameter in update.learner.parameters():
                if not name.startswith(young):
                    update.scratch[name] = parameter.detach().clone()

    def finish(self, update: Update) -> Learner:
        """Leave the best weights on the line; the challenger's where it is a draw."""

        from cl.models.inference import score_rows

        rows, champion = update.lesson.validation, update.scratch
        if not champion or rows is None or rows.empty:
            return update.learner
        own = {name: parameter.detach().clone() for name, parameter in update.learner.parameters() if name in champion}
        best = (-float("inf"), -float("inf"), 0.0)
        for taken in range(self.steps, -1, -1):
            _interpolate(update, champion, own, taken / self.steps)
            score, loss = score_rows(update.learner, rows)
            best = max(best, (score, -loss, taken / self.steps))
        _interpolate(update, champion, own, best[2])
        return update.learner


def _interpolate(
    update: Update, champion: dict[str, torch.Tensor], own: dict[str, torch.Tensor], coefficient: float
) -> None:
    """Put weights in place: 0 gives the champion's, 1 the challenger's, both to the bit."""
    import torch

    with torch.no_grad():
        for name, parameter in update.learner.parameters():
            if name in champion:
                parameter.copy_(torch.lerp(champion[name].to(parameter.device), own[name], coefficient))


def _blocks_since(update: Update) -> tuple[str, ...]:
    """Return how the names begin of those blocks of the head that the champion does not have."""
    from cl.models.linear_head import LinearHead

    head, first, names = update.learner.head, 0, []
    assert isinstance(head, LinearHead), "a head that was solved for is not trained"
    for place, size in enumerate(head.sizes):
        if first >= update.lesson.known:
            names.append(f"head.blocks.{place}.")
        first += size
    return tuple(names)
