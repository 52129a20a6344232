"""Measure how probable a model that writes its answers holds the true ones."""

from __future__ import annotations

from math import log

import pandas as pd

from cl.models.inference import score_rows
from cl.models.learner import Learner
from cl.tasks import Capability


def measure_likelihood(learner: Learner, rows: pd.DataFrame) -> dict[str, float]:
    """Return ``nll``, the mean negative log-likelihood of a token of the true answers, in nats.

    Of a task that measures texts, also ``bits_per_byte`` of all of them together, by which models with other tokens
    compare. It takes one pass over the rows, and shows a small change sooner than what is written. An empty dict
    without rows, or for a model that does not write.
    """
    if rows.empty or Capability.WRITING not in learner.task.provides:
        return {}
    score, loss = score_rows(learner, rows)
    if score is None:
        return {}
    if not learner.task.measures_texts:
        return {"nll": loss}
    encoded = learner.encode(rows)
    tokens, size = sum(len(row.targets) for row in encoded), sum(row.context.bytes for row in encoded)
    return {"nll": loss, "bits_per_byte": loss * tokens / size / log(2)}
