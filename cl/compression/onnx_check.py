"""Check on real rows, before an ONNX graph is used, that it answers as torch does."""

from __future__ import annotations

import math

import pandas as pd
import torch

from cl.errors import InputError
from cl.models.inference import row_logits
from cl.models.learner import Learner
from cl.records import TOLERANCE, TOLERANCE_INT8


def check_graph_matches(ours: Learner, graph: Learner, rows: pd.DataFrame) -> None:
    """Compare all probabilities for labelled rows, as one batch and for the first row alone.

    Args:
        ours: as torch computes it.
        graph: the same weights, running through a graph.
        rows: at least one.

    Raises:
        InputError: a probability differs by more than the tolerance.
    """
    bound = TOLERANCE_INT8 if ours.is_int8 else TOLERANCE
    largest = max(_max_difference(ours, graph, batch) for batch in (rows, rows.head(1)))
    if not largest <= bound:
        raise InputError(
            f"the ONNX graph of {type(ours.encoder).__name__} does not match its encoder: on {len(rows)} rows a "
            f"probability differs by {largest:.4f}, {bound:g} is allowed; serve it through torch"
        )


def _max_difference(ours: Learner, graph: Learner, rows: pd.DataFrame) -> float:
    """Return the largest difference between probabilities; NaN counts as infinite."""
    pairs = zip(row_logits(ours, rows), row_logits(graph, rows), strict=True)
    differences = [
        float((expected.softmax(-1) - actual.softmax(-1)).abs().max()) for expected, actual in pairs if expected.numel()
    ]
    return max((torch.inf if math.isnan(difference) else difference for difference in differences), default=0.0)
