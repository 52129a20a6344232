"""The features of single rows that a closed form keeps, so that rows can be removed, and solved over, later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cl.heavy import np, pd
from cl.records import WEIGHT

if TYPE_CHECKING:
    import torch

    from cl.models.closed_form_head import ClosedFormHead
    from cl.models.frozen_features import Features

CHOOSING_ROWS, CHOOSING_POSITIONS = 600, 3_000
"""Most validation rows used to choose a candidate, and positions in them where each of these is costly: one
hyperparameter on a grid of four needs no more."""
HELD_OUT, LEVERAGES = "held_out", "leverages"
"""Columns of the kept rows: whether it is a validation row, and if so, its leverages."""


@dataclass(frozen=True)
class LabelledFeatures:
    """Expanded integer features (rows, features) and targets of rows, or of positions in rows.

    ``targets`` are classes (rows,) or, where a row may have several, (rows, classes) with 1 for those it has.
    ``weights`` (rows,) say what each counts in training; None: once.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None = None

    def thinned(self, most: int) -> LabelledFeatures:
        """Return at most so many of them, evenly spaced."""
        step = max(1, math.ceil(len(self.targets) / most))
        return LabelledFeatures(self.inputs[::step], self.targets[::step], _some(self.weights, slice(None, None, step)))

    def weighted(self, values: torch.Tensor) -> torch.Tensor:
        """Return a value of each row (rows,) times the row's weight."""
        return values if self.weights is None else values * self.weights.to(values)


def expand_rows(rows: pd.DataFrame | None, head: ClosedFormHead, *, most: int | None = None) -> LabelledFeatures:
    """Return the expanded features of kept rows, ordered by id, which is the same in any order of the stream.

    Args:
        rows: id, features, targets; None: no rows are kept.
        head: expands the features.
        most: positions to return, evenly spaced; None: all.
    """
    whole, targets, weights = kept_positions(rows, head)
    chosen = slice(None, None, None if most is None else max(1, math.ceil(len(targets) / most)))
    return LabelledFeatures(head.expand(whole[chosen].float()), targets[chosen], _some(weights, chosen))


def kept_positions(
    rows: pd.DataFrame | None, head: ClosedFormHead
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the int8 features (positions, width), the targets and the weights of kept rows, ordered by id."""
    import torch

    from cl.models.weights import weights_of_positions

    if rows is None or rows.empty:
        empty = torch.zeros(0, head.width * head.layers, dtype=torch.int8)
        return empty, torch.zeros(0, dtype=torch.int64), None
    ordered = rows.sort_values("id")
    sizes = [len(targets) for targets in ordered["targets"]]
    numbers = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    targets = read_targets([target for own in ordered["targets"] for target in own])
    whole = stored_features(b"".join(ordered["features"]), head)
    return whole, targets, weights_of_positions(ordered, numbers)


def has_any(targets: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return whether each position's class, or any of its classes, is among those chosen (classes,)."""
    return classes[targets] if targets.ndim == 1 else (targets[:, classes] > 0).any(1)


def count_right(scores: torch.Tensor, targets: torch.Tensor) -> int:
    """Return how many positions the scores answer right, or where each has several classes, how many pairs of both."""
    return int(((scores.argmax(-1) == targets) if targets.ndim == 1 else ((scores > 0) == (targets > 0))).sum())


def stored_targets(targets: torch.Tensor) -> list[Any]:
    """Return targets of positions as they are kept: the class of each, or the list of its classes."""
    if targets.ndim == 1:
        return targets.tolist()
    return [(own > 0).nonzero()[:, 0].tolist() for own in targets]


def read_targets(kept: list[Any]) -> torch.Tensor:
    """Return the targets of positions that `stored_targets` returned, as wide as the last class in them."""
    import torch

    if not kept or isinstance(kept[0], int | np.integer):
        return torch.tensor(kept, dtype=torch.int64)
    classes = [np.asarray(own, dtype=np.int64) for own in kept]
    targets = torch.zeros(
        len(kept), 1 + max((int(own.max()) for own in classes if len(own)), default=-1), dtype=torch.int8
    )
    rows = np.repeat(np.arange(len(kept)), [len(own) for own in classes])
    targets[torch.from_numpy(rows), torch.from_numpy(np.concatenate(classes))] = 1
    return targets


def stored_features(features: bytes, head: ClosedFormHead) -> torch.Tensor:
    """Return the int8 features (positions, width) of a kept row, or of several."""
    import torch

    return torch.from_numpy(np.frombuffer(features, dtype=np.int8).copy()).view(-1, head.width * head.layers)


def _some(weights: torch.Tensor | None, chosen: slice) -> torch.Tensor | None:
    return None if weights is None else weights[chosen]


def features_of_rows(rows: pd.DataFrame, features: Features) -> pd.DataFrame:
    """Return for each row its id, its features as bytes, the targets of its positions, and its weight if it has one."""
    from cl.models.weights import row_weights

    counts = [0] * len(rows)
    for row in features.row.tolist():
        counts[row] += 1
    whole, targets = features.whole.split(counts), features.targets.split(counts)
    kept = pd.DataFrame(
        {
            "id": rows["id"].tolist(),
            "features": [part.numpy().tobytes() for part in whole],
            "targets": [stored_targets(part) for part in targets],
        }
    )
    weights = row_weights(rows)
    return kept if weights is None else kept.assign(**{WEIGHT: weights})


def choosing_rows(rows: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Return at most `CHOOSING_ROWS` rows, taking classes in turn; the order of the rows does not matter."""
    if len(rows) <= CHOOSING_ROWS:
        return rows
    by_id = rows.assign(class_=classes).sort_values("id")
    turn = by_id.groupby("class_").cumcount()
    return by_id.assign(turn=turn).sort_values(["turn", "id"]).head(CHOOSING_ROWS).drop(columns=["class_", "turn"])
