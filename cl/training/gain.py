"""Estimate what an update would gain before anything is trained: two closed-form heads, with and without the new rows.

Both read the champion's frozen features and answer every row as if it had not been learned, so that all rows count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.config import Config
from cl.models.build import grow_labels
from cl.models.closed_form_head import SIGMAS, STEPS, ClosedFormHead
from cl.models.frozen_features import Features, frozen_features
from cl.models.persistence import load_learner
from cl.plugins import Capability
from cl.records import Gain
from cl.stores.data.draw import draw_rows
from cl.stores.data.experiences import RowsOf
from cl.tasks import Task
from cl.training.strategies._ridge import FeatureForm, best_solution, left_out
from cl.training.strategies._sufficient_statistics import SufficientStatistics

MOST_ROWS, MOST_PAST = 4_000, 2_000
"""Rows of the new experiences, and of the past, that are looked at."""
SPLITS = ("train", "validation")
LAYERS = 3
RIDGES = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
ROWS_AT_ONCE = 4_096
Z_90 = 1.644854
"""Half the width of a 90 % interval, in standard errors."""


def estimate_gain(
    config: Config,
    champion: Path | None,
    past: Sequence[str],
    new: Sequence[str],
    rows_of: RowsOf,
    *,
    past_rows: int | None = None,
) -> Gain:
    """Return how many more of all rows an update would answer right, and how far that is certain.

    Every row counts once: past rows in the share that they have of all rows, new ones in theirs.

    Args:
        config: the seed.
        champion: folder of the serving version; None: there is nothing to compare with.
        past: ids of the experiences that it has learned.
        new: ids of the experiences that an update would learn.
        rows_of: returns the rows of experiences (ids, split).
        past_rows: training and validation rows of the past, of which some are drawn; None: all of them are read.
    """
    if champion is None:
        return Gain(unknown="there is no champion yet")
    task = plugins.build(Task, config.task)
    if Capability.LINEAR_HEAD not in task.provides:
        return Gain(unknown=f"it is estimated with a closed form, which needs {Capability.LINEAR_HEAD}")
    after = pd.concat([rows_of(list(new), split) for split in SPLITS], ignore_index=True)
    if past_rows is None:
        past_rows = sum(len(rows_of(list(past), split)) for split in SPLITS)
    before = draw_rows(rows_of, past, SPLITS, most=MOST_PAST, seed=config.seed)
    if before.empty or after.empty:
        return Gain(unknown=f"the {'past' if before.empty else 'new'} experiences have no training rows")
    share = len(after) / (past_rows + len(after))
    learner = load_learner(champion)
    learner = grow_labels(learner, learner.task.labels(after), seed=config.seed)
    layers = learner.graph.layers if learner.graph else learner.depth  # a graph gives what its head reads
    head = ClosedFormHead(learner.feature_width, 0, layers=min(LAYERS, layers))
    old, added = (frozen_features(learner, head, _sample(rows, config.seed)) for rows in (before, after))
    if not (len(old.targets) and len(added.targets)):
        return Gain(unknown="no position of a row has a label")
    several = old.targets.ndim == 2
    empty = SufficientStatistics.empty(head.width * head.layers, len(learner.labels), several=several)
    sums = empty.add(old.whole.float(), old.targets, old.weights)
    probes = _Probe.solve(sums), _Probe.solve(sums.add(added.whole.float(), added.targets, added.weights))
    changes = [_change(*probes, features, learned=features is old) for features in (old, added)]
    parts = [(1 - share, changes[0]), (share, changes[1])]
    gain = sum(weight * float(change.mean()) for weight, change in parts)
    variances = [_variance(change) / len(change) for change in changes]
    error = sum(weight**2 * own for (weight, _), own in zip(parts, variances, strict=True)) ** 0.5
    return Gain(
        expected=gain,
        low=gain - Z_90 * error,
        high=gain + Z_90 * error,
        new_high=float(changes[1].mean()) + Z_90 * variances[1] ** 0.5,
        new_rows=len(after),
        past_rows=past_rows,
    )


@dataclass(frozen=True)
class _Probe:
    """A ridge regression, and what its answers without a row need."""

    form: FeatureForm
    ridge: float
    weight: torch.Tensor
    absent: torch.Tensor

    @classmethod
    def solve(cls, sums: SufficientStatistics) -> _Probe:
        form = FeatureForm(sums, STEPS / SIGMAS)
        solution = best_solution(form, RIDGES)
        return cls(form, solution.ridge, solution.weight, sums.counts == 0)

    def is_right(self, features: Features, *, learned: bool) -> torch.Tensor:
        """Return for each position how right it is answered, 0 to 1, without having been learned."""
        leverage, right = self.form.leverage(self.ridge), [torch.zeros(0)]
        for start in range(0, len(features.targets), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            inputs, targets = features.whole[block].double(), features.targets[block]
            logits = inputs @ self.weight
            if learned:
                share = leverage(inputs)
                if features.weights is not None:  # a row of weight 0 has not been learned
                    share = share * features.weights[block]
                logits = left_out(logits, share, targets)
            right.append(_rightness(logits.masked_fill(self.absent, -torch.inf), targets))
        return torch.cat(right)


def _rightness(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return whether the class with the highest score is that of each position, 0 or 1.

    Where a position has several, it is the share of its n classes among the n with the highest scores (R-precision);
    one without a class is right if no score is nearer to 1 than to 0.
    """
    if targets.ndim == 1:
        return (scores.argmax(1) == targets).float()
    wanted = targets > 0
    ranked, count = wanted.gather(1, scores.argsort(1, descending=True)), wanted.sum(1)
    first = torch.arange(wanted.shape[1]) < count[:, None]
    empty = (scores < 0.5).all(1).float()
    return torch.where(count > 0, (ranked & first).sum(1) / count.clamp(min=1), empty)


def _change(before: _Probe, after: _Probe, features: Features, *, learned: bool) -> np.ndarray:
    """Return how much better each row is answered afterwards, -1 to 1; ``learned``: the first probe knows the rows."""
    change = after.is_right(features, learned=True) - before.is_right(features, learned=learned)
    positions = torch.bincount(features.row)
    means = torch.zeros(len(positions)).index_add_(0, features.row, change)[positions > 0] / positions[positions > 0]
    return means.numpy()


def _variance(changes: np.ndarray) -> float:
    """Return the variance with one more row each way: a few rows that did not change are not certain not to."""
    return float(np.var(np.concatenate([changes, [-1.0, 1.0]])))


def _sample(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows if len(rows) <= MOST_ROWS else rows.sample(MOST_ROWS, random_state=seed).reset_index(drop=True)
