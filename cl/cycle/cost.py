"""Estimate the cost of an update at a rung before it begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cl.config import Config
from cl.records import RungResult
from cl.stores.data.experiences import Experiences

SOLVED, TRAINED = 1, 3
"""Encoder passes per row: forward only, or forward and backward; a backward pass counts as two."""


@dataclass(frozen=True)
class UpdateSizes:
    """Number of new and past training rows, and whether a closed-form head's sums already include the past ones."""

    new: int
    past: int
    summed: bool = False


def update_sizes(
    experiences: Experiences, base: Path | None, *, new: Sequence[str], past: Sequence[str]
) -> UpdateSizes:
    """Return how many rows an update would train on; ``base`` is the parent's folder, None: pretrained weights."""
    rows = {experience: experiences.get(experience).rows["train"] for experience in (*new, *past)}
    described = json.loads((base / "learner.json").read_text(encoding="utf-8")) if base else {}
    return UpdateSizes(
        new=sum(rows[experience] for experience in new),
        past=sum(rows[experience] for experience in past),
        summed=bool(described.get("head", {}).get("closed")),
    )


@dataclass(frozen=True)
class Cost:
    """Rows over all epochs, and seconds; None: nothing comparable has been measured."""

    rows: int
    seconds: float | None = None


def expected_cost(
    config: Config, sizes: UpdateSizes, known: Sequence[RungResult], *, rung: str, ladder: Config
) -> Cost:
    """Return the expected cost of an update: rows times epochs, at the measured pace of this or another rung.

    It assumes the maximum number of epochs: early stopping can only make it cheaper.

    Args:
        config: of the update, at its rung.
        sizes: number of rows to learn.
        known: past results of rungs, oldest first.
        rung: its name.
        ladder: the configuration with all rungs.
    """
    rows = _rows_to_learn(config, sizes)
    measured = [result for result in known if result.skipped is None and result.diverged is None and result.rows]
    if not measured:
        return Cost(rows)
    own = [result for result in measured if result.rung == rung]
    names = {entry.name for entry in ladder.ladder}
    if own:
        pace = own[-1].training_seconds / own[-1].rows
    else:
        per_pass = [
            result.training_seconds / result.rows / _passes_per_row(ladder.at_rung(result.rung))
            for result in measured
            if result.rung in names
        ]
        if not per_pass:
            return Cost(rows)
        pace = max(per_pass) * _passes_per_row(config)
    return Cost(rows, pace * rows + (own or measured)[-1].judged_seconds)


def _rows_to_learn(config: Config, sizes: UpdateSizes) -> int:
    """Return the rows of all epochs; a closed-form head takes each row once."""
    if solver := config.closed_form:
        adapts = solver.adapts_always or (solver.trains_encoder and not sizes.past)
        every = sizes.new + sizes.past
        if not adapts:
            return sizes.new if sizes.summed else every
        return every + _trained_rows(config, every)
    each = sizes.new + sum(strategy.expected_rows(sizes.new, sizes.past) for strategy in config.built_strategies)
    return _trained_rows(config, each)


def _trained_rows(config: Config, each: int) -> int:
    """Return the rows of all epochs of so many rows each, as far as the steps allow."""
    bounds = config.training
    rows: int = bounds.epochs * each
    if bounds.steps is None or bounds.batch_tokens is not None:  # how many rows have so many tokens is not known yet
        return rows
    return min(rows, bounds.steps * bounds.batch_size * bounds.accumulate)


def _passes_per_row(config: Config) -> int:
    if solver := config.closed_form:
        return TRAINED if solver.trains_encoder else SOLVED
    return TRAINED * max(int(strategy.passes) for strategy in config.built_strategies)
