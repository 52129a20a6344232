"""How evidence is weighed: corrected and simulated p-values, an interval for a mean, too few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from cl.records import Finding, Record

Kind = Literal["inputs", "labels", "new_labels", "predictions", "performance"]
Z_95 = 1.959964
TIE = 1e-9


class Interval(Record):
    """Where a mean lies, with 95 % confidence."""

    low: float
    high: float


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Decide which hypotheses fall when the chance of any false alarm may be alpha (Holm, 1979).

    >>> holm([0.02, 0.001, 0.6], alpha=0.05)
    [True, True, False]
    """
    rejected = [False] * len(p_values)
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def monte_carlo_p(observed: float, simulated: np.ndarray) -> float:
    """Return the share of outcomes as extreme as the observed one, itself counted (Phipson and Smyth, 2010).

    >>> monte_carlo_p(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    extreme = int((simulated >= observed - TIE * max(1.0, abs(observed))).sum())
    return (1 + extreme) / (1 + len(simulated))


def wilson(mean: float, rows: int) -> Interval:
    """Return Wilson's 95 % interval (Wilson, 1927); it is too wide, not too narrow, for fractional scores."""
    centre = (mean + Z_95**2 / (2 * rows)) / (1 + Z_95**2 / rows)
    reach = Z_95 * np.sqrt(mean * (1 - mean) / rows + Z_95**2 / (4 * rows**2)) / (1 + Z_95**2 / rows)
    return Interval(low=max(0.0, float(centre - reach)), high=min(1.0, float(centre + reach)))


def shown(p_value: float) -> str:
    """Return a p-value as people write it: ``p = 0.012`` or ``p < 0.0001``."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"


def too_few(detector: str, kind: Kind, *, needs: int, has: int, what: str = "rows") -> Finding:
    """Return the finding of a detector that cannot tell: there is not enough data, and how much it needs."""
    summary = f"not enough data: needs {needs} {what}, has {has}"
    return Finding(detector=detector, kind=kind, drifted=False, summary=summary)
