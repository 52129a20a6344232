"""The mix of an epoch of a language model, counted in the tokens that are learned: of new, past and general texts."""

from __future__ import annotations

from pathlib import Path

from cl.heavy import np, pd
from cl.models.learner import Learner
from cl.tasks import IGNORED
from cl.training.strategies._base import Update

GENERAL = Path(__file__).with_name("general_texts.txt")
"""Short general texts in several fields, written for this package: others than those of `evaluation.general_rows`."""


def mixed_rows(update: Update, ratio: float, general: float) -> pd.DataFrame | None:
    """Return past rows, and general texts as rows, for an epoch; None: there are none.

    Args:
        update: its state has the past rows.
        ratio: learned tokens of past rows for each of the new rows.
        general: learned tokens of general texts for each of the new rows.
    """
    learner, rng, cache = update.learner, update.lesson.rng, update.cache
    if "new tokens" not in cache:
        texts = learner.task.general_rows(GENERAL.read_text(encoding="utf-8").splitlines()) if general else None
        cache["sources"] = [(rows, learned_tokens(learner, rows)) for rows in (update.state.rows, texts)]
        cache["new tokens"] = int(learned_tokens(learner, update.lesson.rows).sum())
    budgets = (ratio * cache["new tokens"], general * cache["new tokens"])
    drawn = [
        rows.iloc[draw_tokens(counts, budget, rng)]
        for (rows, counts), budget in zip(cache["sources"], budgets, strict=True)
        if rows is not None and len(rows)
    ]
    return pd.concat(drawn, ignore_index=True) if drawn else None


def learned_tokens(learner: Learner, rows: pd.DataFrame | None) -> np.ndarray:
    """Return how many tokens of each row are learned."""
    encoded = [] if rows is None else learner.encode(rows)
    return np.array([sum(target != IGNORED for target in row.targets) for row in encoded], dtype=np.int64)


def draw_tokens(counts: np.ndarray, budget: float, rng: np.random.Generator) -> list[int]:
    """Return rows in their order, drawn at random, that have ``budget`` tokens in the mean over all draws.

    Rows are taken in random order until the next one would exceed the budget; that one is taken with the probability
    that makes the mean exact, so that long texts are neither always left out nor too many. All rows that there are, if
    they have fewer tokens.

    >>> import numpy as np
    >>> counts = np.array([10, 10, 10, 10])
    >>> [len(draw_tokens(counts, 20, np.random.default_rng(seed))) for seed in range(3)]
    [2, 2, 2]
    >>> float(np.mean([len(draw_tokens(counts, 5, np.random.default_rng(seed))) for seed in range(1_000)])) > 0.4
    True
    """
    order = rng.permutation(len(counts))
    before = np.cumsum(counts[order]) - counts[order]
    whole = int((before + counts[order] <= budget).sum())
    taken = order[:whole].tolist()
    if whole < len(order) and rng.random() < (budget - before[whole]) / counts[order[whole]]:
        taken.append(int(order[whole]))
    return sorted(taken)
