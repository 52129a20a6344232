"""What adversarial training shares: which words may move, by how much, and in which direction the loss rises.

All lengths are relative, so that one setting fits every encoder: the papers' are of embeddings that were normalised, or
of one model's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cl import plugins
from cl.models.tunings import Tuning
from cl.plugins import Capability
from cl.training.strategies._base import Step, Strategy, Update

if TYPE_CHECKING:
    import torch

    from cl.config import Config
    from cl.models.word_embeddings import Repeatable


class Perturbing(Strategy):
    """Base of the strategies that train on word embeddings which were perturbed so that the loss rises.

    Padding and the tokens that the tokenizer puts around a text stay as they are. A text that is read in windows is
    perturbed window by window.
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.ENCODER})
    perturbs: ClassVar[bool] = True

    def objection(self, config: Config) -> str | None:
        """Reject a tuning that leaves the encoder as it is, and a second strategy that perturbs the same words."""
        tuning: Tuning = plugins.build(Tuning, config.model.tuning)
        if not tuning.trains_encoder:
            return (
                f"it makes the encoder robust, which model.tuning: {tuning.name} does not train; change one of the two"
            )
        if perturbing := [other.name for other in self.others(config) if other.perturbs]:
            return f"'{perturbing[0]}' perturbs the same words; leave one of the two out"
        return super().objection(config)


def words_of(update: Update, step: Step) -> tuple[Repeatable, torch.Tensor]:
    """Return the step's forward pass, and its word embeddings (rows, length, width) with zeros where none may move."""
    import torch

    assert step.forward is not None, "the loop records the word embeddings for a strategy that perturbs them"
    if "fixed" not in update.cache:
        tokenizer = update.learner.tokenizer
        fixed = {*tokenizer.all_special_ids, tokenizer.pad_token_id} - {tokenizer.unk_token_id, None}
        update.cache["fixed"] = torch.tensor(sorted(fixed), device=update.learner.device)
    words = step.forward.words
    moves = ~torch.isin(words.ids, update.cache["fixed"])
    return step.forward, words.values.detach().float() * moves.unsqueeze(-1)


def loss_of(update: Update, step: Step, logits: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of the step's batch with other logits."""
    return update.learner.task.loss(logits, step.batch.targets, step.batch.weights)


def row_lengths(values: torch.Tensor) -> torch.Tensor:
    """Return the Frobenius norm of each row (rows, 1, 1) of values (rows, length, width)."""
    lengths: torch.Tensor = values.flatten(1).norm(dim=1)
    return lengths[:, None, None]


def ascent(value: torch.Tensor, inputs: torch.Tensor, words: torch.Tensor, *, keep_graph: bool = False) -> torch.Tensor:
    """Return the gradient of a scalar in each row's words, divided by its length; 0 where the row has none.

    Args:
        value: the scalar.
        inputs: the word embeddings, or their shift (rows, length, width).
        words: as `words_of` returns them: where they are zero, the gradient does not count.
        keep_graph: whether the scalar will be used again.
    """
    gradient = masked_gradient(value, inputs, words, keep_graph=keep_graph)
    return gradient / row_lengths(gradient).clamp(min=1e-30)


def masked_gradient(
    value: torch.Tensor, inputs: torch.Tensor, words: torch.Tensor, *, keep_graph: bool = False
) -> torch.Tensor:
    """Return the gradient that `ascent` divides by its length."""
    import torch

    (gradient,) = torch.autograd.grad(value, inputs, retain_graph=keep_graph)
    return gradient.float() * (words != 0).any(-1, keepdim=True)


def within(shift: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Return a shift, cut to a length of at most ``radius`` (rows, 1, 1) in each row."""
    return shift * (radius / row_lengths(shift).clamp(min=1e-30)).clamp(max=1.0)
