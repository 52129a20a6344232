"""The forward pass of a training step, which a strategy may repeat with perturbed word embeddings."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from cl.config import TrainingSettings
from cl.models.half_weights import HalfWeights
from cl.models.kernels import fast_kernels
from cl.models.learner import Learner
from cl.models.precision import autocast
from cl.models.word_embeddings import Repeatable, random_state, recorded_embeddings
from cl.tasks import Batch
from cl.training.recompute import recomputed_layers
from cl.training.strategies import Step


def take_forward_pass(
    learner: Learner,
    batch: Batch,
    ids: list[str],
    settings: TrainingSettings,
    halves: HalfWeights | None,
    *,
    watched: int = 0,
    repeatable: bool = False,
) -> Step:
    """Run a batch through encoder and head, in the precision of the settings.

    Args:
        learner: is trained.
        batch: the rows.
        ids: of the rows.
        settings: the precision, and whether rows are packed and states recomputed.
        halves: the encoder's weights in bfloat16, of `half_weights`.
        watched: of how many of the last layers the states are wanted, in addition to those that the head reads.
        repeatable: record the word embeddings, so that the pass can be taken again with others.
    """
    own = learner.head.layers

    def run(*, again: bool = False) -> tuple[list[torch.Tensor], torch.Tensor]:
        with autocast(settings.precision, learner.device), fast_kernels(learner.device):
            with halves.in_use(again=again) if halves else nullcontext():
                layers = own if again else max(own, watched)
                with recomputed_layers(learner.encoder, halves) if settings.recompute else nullcontext():
                    states = learner.forward(batch, layers, packed=settings.packing)
            states = [layer.float() for layer in states]
            return states, learner.read(states[-own:], batch)

    if not repeatable:
        states, logits = run()
        return Step(ids, batch, logits, states)
    chance = random_state(learner.device)
    with recorded_embeddings(learner.encoder) as words:
        states, logits = run()
    return Step(ids, batch, logits, states, Repeatable(learner.encoder, words, lambda: run(again=True)[1], chance))
