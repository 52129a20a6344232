"""KL to the champion: while learning new answers, hold the probabilities of their tokens near the champion's."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.plugins import Capability
from cl.tasks import IGNORED
from cl.training.strategies import Step, Strategy, Update
from cl.training.strategies.lwf import slices_by_id

if TYPE_CHECKING:
    import torch

    from cl.models.learner import Learner
    from cl.tasks import Encoded


class KL(Strategy):
    """Learning without forgetting (Li and Hoiem, 2016, equations 2 to 4) for models that write.

    The penalty is ``strength`` times the mean, over the tokens of the new answers, of the divergence KL(champion ||
    model) of the probabilities of the next token. Before the first step, the champion's most probable tokens are
    recorded, without dropout; all others count as one. Unlike in the paper, the temperature is 1. Rows that another
    strategy recalls are not held: they have their true answers.

    >>> KL(strength=0.5).anchored_to
    'answers'
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.WRITING})

    anchored_to: ClassVar[str | None] = "answers"

    strength: float = Field(1.0, gt=0, description="Weight of the divergence (beta)")
    tokens: int = Field(100, ge=1, description="Most probable tokens of the champion that are recorded at each place")

    def begin(self, update: Update) -> None:
        """Record the champion's most probable tokens at each place of the new answers, and where those of a row end."""
        import torch

        from cl.models.blocks import cut_into_blocks

        if not update.lesson.known:
            return
        learner, rows = update.learner, update.lesson.rows
        encoded = learner.encode(rows)
        blocks, _ = cut_into_blocks(encoded, learner.settings.max_length)
        recorded = most_probable(learner, blocks, self.tokens)
        update.scratch["logs"] = torch.cat([logs for logs, _ in recorded])
        update.scratch["tokens"] = torch.cat([tokens for _, tokens in recorded])
        lengths = [sum(target != IGNORED for target in row.targets) for row in encoded]
        update.scratch["ends"] = torch.tensor(lengths).cumsum(0)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the divergence, a mean over the tokens of the batch's new answers, times the weights of their rows."""
        import torch

        if "logs" not in update.scratch:
            return None
        places, scratch = slices_by_id(update), update.scratch
        own = update.learner.task.by_row(step.logits, step.batch.targets)
        new = [index for index, id in enumerate(step.ids) if id in places]
        if not new:
            return None
        starts, terms = step.batch.extras.get("starts"), []
        for index in new:
            first = places[step.ids[index]].start + (0 if starts is None else int(starts[index]))
            recorded = slice(first, first + len(own[index]))
            logs, tokens = (scratch[name][recorded].to(own[index].device) for name in ("logs", "tokens"))
            row = divergence(logs, tokens, own[index].float().log_softmax(-1))
            terms.append(row if step.batch.weights is None else row * step.batch.weights[index])
        return self.strength * torch.cat(terms).mean()


def most_probable(
    learner: Learner, encoded: list[Encoded], tokens: int, temperature: float = 1.0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the most probable tokens at each place of the answers of rows.

    Args:
        learner: a model that writes.
        encoded: prompts with answers.
        tokens: how many of a place.
        temperature: divides the logits.

    Returns:
        Of each row, the logarithms of their probabilities (places, tokens), and their ids.
    """
    import torch

    recorded: list[tuple[torch.Tensor, torch.Tensor]] = [(torch.empty(0), torch.empty(0))] * len(encoded)
    with torch.no_grad():
        for batch, (logits,) in learner.run(encoded, batch_size=8):
            logs = (logits.float() / temperature).log_softmax(-1)
            for row, own in zip(batch.rows, learner.task.by_row(logs, batch.targets), strict=True):
                best = own.topk(min(tokens, own.shape[-1]), dim=-1)
                recorded[row] = best.values, best.indices
    return recorded


def divergence(logs: torch.Tensor, tokens: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return KL(then || now) at each place (places,), with all tokens that are not recorded as one.

    Args:
        logs: logarithms of probabilities then, of the recorded tokens (places, tokens).
        tokens: their ids.
        own: logarithms of probabilities now, of all tokens (places, vocabulary).
    """
    import torch

    now = own.gather(-1, tokens)
    rest, own_rest = ((1 - part.exp().sum(-1)).clamp(min=torch.finfo(torch.float32).eps) for part in (logs, now))
    result: torch.Tensor = (logs.exp() * (logs - now)).sum(-1) + rest * (rest.log() - own_rest.log())
    return result
