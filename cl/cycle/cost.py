"""What an update at a rung will cost, as far as it can be said before it is begun."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cl.config import Config
from cl.records import RungResult
from cl.stores.data.experiences import Experiences

SOLVED, TRAINED = 1, 3
"""What a row costs in passes of the encoder: forward alone, or forward and backward, which takes twice as long."""


@dataclass(frozen=True)
class UpdateSizes:
    """How many training rows are new, how many were learnt before, and whether a solved head's sums hold those."""

    new: int
    past: int
    summed: bool = False


def update_sizes(
    experiences: Experiences, base: Path | None, *, new: Sequence[str], past: Sequence[str]
) -> UpdateSizes:
    """Return how many rows an update from a version would learn; ``base`` is its folder, None: pretrained weights."""
    rows = {one: experiences.get(one).rows["train"] for one in (*new, *past)}
    described = json.loads((base / "learner.json").read_text(encoding="utf-8")) if base else {}
    return UpdateSizes(
        new=sum(rows[one] for one in new),
        past=sum(rows[one] for one in past),
        summed=bool(described.get("head", {}).get("closed")),
    )


@dataclass(frozen=True)
class Cost:
    """Rows, each as often as it is learnt, and seconds; None: nothing like it was ever measured."""

    rows: int
    seconds: float | None = None


def expected_cost(
    config: Config, sizes: UpdateSizes, known: Sequence[RungResult], *, rung: str, ladder: Config
) -> Cost:
    """Return what an update will cost: its rows times its epochs, at the pace that this rung or another one had.

    Epochs are all that are allowed: early stopping can only make it cheaper.

    Args:
        config: of the update, at its rung.
        sizes: of what is learnt.
        known: what rungs have cost before, oldest first.
        rung: its name.
        ladder: the configuration with all rungs.
    """
    rows = _rows(config, sizes)
    measured = [one for one in known if one.skipped is None and one.diverged is None and one.rows]
    if not measured:
        return Cost(rows)
    own = [one for one in measured if one.rung == rung]
    names = {one.name for one in ladder.ladder}
    if own:
        pace = own[-1].training_seconds / own[-1].rows
    else:
        per_pass = [
            one.training_seconds / one.rows / _passes(ladder.at_rung(one.rung)) for one in measured if one.rung in names
        ]
        if not per_pass:
            return Cost(rows)
        pace = max(per_pass) * _passes(config)
    return Cost(rows, pace * rows + (own or measured)[-1].judged_seconds)


def _rows(config: Config, sizes: UpdateSizes) -> int:
    """Return the rows of all epochs; a head that is solved for takes each row once."""
    strategies = config.built
    if all(one.closed for one in strategies):
        adapts = any(one.adapt == "first" for one in strategies) and not sizes.past
        once = sizes.new if sizes.summed else sizes.new + sizes.past
        return once + (config.training.epochs * sizes.new if adapts else 0)
    each = sizes.new + sum(one.expects(sizes.new, sizes.past) for one in strategies)
    return config.training.epochs * each


def _passes(config: Config) -> int:
    return SOLVED if all(one.closed for one in config.built) else TRAINED
