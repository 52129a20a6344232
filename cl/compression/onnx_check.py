"""Whether an ONNX graph answers as torch does: asked on real rows before anything is made of it."""

from __future__ import annotations

import pandas as pd
import torch

from cl.errors import InputError
from cl.models.inference import to_records
from cl.models.learner import Learner
from cl.records import TOLERANCE, TOLERANCE_INT8


def check_same(ours: Learner, graph: Learner, rows: pd.DataFrame) -> None:
    """Compare all probabilities for labelled rows, which are asked together, and the first of them alone.

    Args:
        ours: as torch computes it.
        graph: the same weights, answering through a graph.
        rows: at least one.

    Raises:
        InputError: a probability differs by more than the tolerance.
    """
    bound = TOLERANCE_INT8 if ours.is_int8 else TOLERANCE
    furthest = max(_apart(ours, graph, some) for some in (rows, rows.head(1)))
    if not furthest <= bound:
        raise InputError(
            f"the ONNX graph of {type(ours.encoder).__name__} is not its encoder: on {len(rows)} rows a probability "
            f"differs by {furthest:.4f}, {bound:g} is allowed; serve it through torch"
        )


def _apart(ours: Learner, graph: Learner, rows: pd.DataFrame) -> float:
    """Return the largest difference of a probability; NaN counts as infinite."""
    pairs = zip(to_records(ours, rows), to_records(graph, rows), strict=True)
    apart = [float((one.softmax(-1) - other.softmax(-1)).abs().max()) for one, other in pairs if one.numel()]
    return max((one if one == one else torch.inf for one in apart), default=0.0)
