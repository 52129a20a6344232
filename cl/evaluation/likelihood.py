"""Measure how probable a model that writes its answers holds the true ones."""

from __future__ import annotations

import pandas as pd

from cl.models.inference import score_rows
from cl.models.learner import Learner
from cl.tasks import Capability


def measure_likelihood(learner: Learner, rows: pd.DataFrame) -> dict[str, float]:
    """Return ``nll``, the mean negative log-likelihood of a token of the true answers, in nats.

    It takes one pass over the rows, and shows a small change sooner than what is written. An empty dict without rows,
    or for a model that does not write.
    """
    if rows.empty or Capability.WRITING not in learner.task.provides:
        return {}
    score, loss = score_rows(learner, rows)
    return {} if score is None else {"nll": loss}
