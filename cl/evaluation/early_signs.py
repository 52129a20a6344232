"""Early signs of forgetting in a language model: they show before any score falls, and take one pass each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch

from cl.models.blocks import cut_into_blocks
from cl.models.generation import ROWS_AT_ONCE, read_answers
from cl.models.learner import Learner
from cl.tasks import IGNORED
from cl.tasks.text_generation import TextGeneration


def measure_general(learner: Learner, texts: Sequence[str]) -> dict[str, float]:
    """Return ``general_nll``: the mean negative log-likelihood of a token of general texts, in nats.

    The texts are read as they are, without a chat template. An empty dict without texts, or for a model that does not
    write.
    """
    if not texts or not learner.writes:
        return {}
    plain = TextGeneration(template="plain")
    rows = pd.DataFrame({"prompt": "", "completion": list(texts)})
    longest = learner.settings.max_length
    encoded = plain.encode(rows, learner.tokenizer, [], max_length=longest, apart=learner.has_decoder)
    return {"general_nll": read_answers(replace(learner, task=plain), encoded).loss}


@torch.inference_mode()
def measure_divergence(champion: Learner, challenger: Learner, new: Sequence[pd.DataFrame]) -> dict[str, float]:
    """Return ``kl_from_champion``: the mean of KL(champion || challenger) over the tokens of true answers, in nats.

    Both models read the prompts and true answers of ``new`` rows. An empty dict without rows, for models that do not
    write, or where the two do not have the same tokens.
    """
    if not (new and champion.writes and challenger.writes):
        return {}
    rows = pd.concat(new)
    longest = min(learner.settings.max_length for learner in (champion, challenger))
    before, now = (cut_into_blocks(learner.encode(rows), longest)[0] for learner in (champion, challenger))
    if [(row.input_ids, row.targets) for row in before] != [(row.input_ids, row.targets) for row in now]:
        return {}
    total, counted = 0.0, 0
    passes = (learner.run(now, batch_size=ROWS_AT_ONCE) for learner in (champion, challenger))
    for (batch, (then,)), (_, (own,)) in zip(*passes, strict=True):
        if then.shape != own.shape:
            return {}
        known = batch.targets != IGNORED
        logs, other = then[known].float().log_softmax(-1), own[known].float().log_softmax(-1)
        total += float((logs.exp() * (logs - other)).sum())
        counted += int(known.sum())
    return {"kl_from_champion": max(0.0, total / counted)} if counted else {}
