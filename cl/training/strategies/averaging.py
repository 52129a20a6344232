"""Weight averaging: interpolate between champion and challenger, choosing the coefficient on validation rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.training.strategies import State, Strategy, Update

if TYPE_CHECKING:
    import torch

TAKEN = "steps taken"
"""The name of a count among those of the champion's weights."""


class Averaging(Strategy):
    """WiSE-FT (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models", section 3).

    After training, the line from the champion's weights to the challenger's is searched in equal steps for the weights
    that do best on the validation rows of all experiences (by score, then loss). Unlike in the paper, the champion
    replaces the zero-shot model, and the coefficient is chosen, not fixed. The champion has no weights for new labels:
    those of the challenger are used.

    With ``every``, the running weights are also replaced during training, after each so many steps, by
    ``(1 - weight) * own + weight * champion`` (SFA; Kleiman et al., 2025, "Soup to go"). The matrices of LoRA are
    averaged one by one, which differs from the average of their products by ``weight * (1 - weight)`` times the product
    of what the two have moved.

    >>> Averaging(steps=4).anchored_to
    'weights'
    """

    anchored_to: ClassVar[str | None] = "weights"
    ends_first: ClassVar[bool] = True

    steps: int = Field(10, ge=1, description="Steps between champion and challenger; each is one validation pass")
    every: int | None = Field(
        None,
        ge=1,
        description="Average with the champion after so many steps of training, too; null: only in the end",
    )
    weight: float = Field(0.5, gt=0, lt=1, description="Share of the champion in an average during training (beta)")

    def begin(self, update: Update) -> None:
        """Keep the champion's weights."""
        update.scratch.update(champion_weights(update))

    def stepped(self, update: Update) -> None:
        """Average the weights with the champion's if it is time."""
        import torch

        champion = update.scratch
        if self.every is None or not champion:
            return
        taken = int(champion.get(TAKEN, torch.tensor(0))) + 1
        if taken % self.every == 0:
            own = {name: parameter.detach().clone() for name, parameter in update.learner.parameters()}
            interpolate(update, champion, own, 1 - self.weight)
        champion[TAKEN] = torch.tensor(taken)

    def end(self, update: Update) -> State:
        """Set the best weights on the line; on a tie, those nearest the challenger."""
        rows, champion = update.lesson.validation, update.scratch
        if not champion or rows is None or rows.empty:
            return update.state
        own = {name: parameter.detach().clone() for name, parameter in update.learner.parameters() if name in champion}
        choose_on_line(update, self.steps, lambda share: interpolate(update, champion, own, share))
        return update.state


def champion_weights(update: Update) -> dict[str, torch.Tensor]:
    """Return copies of the champion's weights, before the first step; none if there is no champion.

    The head's blocks of new labels are left out: the champion has none.
    """
    new_blocks = _new_head_blocks(update)
    return {
        name: parameter.detach().clone()
        for name, parameter in update.learner.parameters()
        if update.lesson.known and not name.startswith(new_blocks)
    }


def choose_on_line(update: Update, steps: int, set_weights: Callable[[float], None]) -> float:
    """Set the weights that do best on the validation rows of all experiences, by score, then loss; return their share.

    On a tie they are those nearest the challenger.

    Args:
        update: has the learner, and validation rows.
        steps: between 0, the champion's weights, and 1, the challenger's.
        set_weights: sets the learner's weights at a share.
    """
    from cl.models.inference import score_rows
    from cl.records.training import validation_rank

    rows = update.lesson.validation
    assert rows is not None, "there are rows to choose by"
    best = (-float("inf"), -float("inf"), 0.0)
    for step in range(steps, -1, -1):
        set_weights(step / steps)
        score, loss = score_rows(update.learner, rows)
        best = max(best, (validation_rank(score), -loss, step / steps))
    set_weights(best[2])
    return best[2]


def interpolate(
    update: Update, champion: dict[str, torch.Tensor], own: dict[str, torch.Tensor], coefficient: float
) -> None:
    """Set interpolated weights: 0 gives the champion's, 1 the challenger's, both bit for bit."""
    import torch

    with torch.no_grad():
        for name, parameter in update.learner.parameters():
            if name in champion:
                parameter.copy_(torch.lerp(champion[name].to(parameter.device), own[name], coefficient))


def _new_head_blocks(update: Update) -> tuple[str, ...]:
    """Return the name prefixes of the head's blocks that the champion does not have."""
    from cl.models.linear_head import LinearHead

    head, first, names = update.learner.head, 0, []
    assert isinstance(head, LinearHead), "a head solved in closed form is not trained"
    for index, size in enumerate(head.sizes):
        if first >= update.lesson.known:
            names.append(f"head.blocks.{index}.")
        first += size
    return tuple(names)
