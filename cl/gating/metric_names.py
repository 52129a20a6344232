"""The metrics that gates may use, and whether lower or higher is better."""

from __future__ import annotations

import difflib

from cl.errors import ConfigError

LOWER_IS_BETTER = {
    "ece": True,
    "brier": True,
    "oos_auroc": False,
    "robustness_typos": False,
    "robustness_casing": False,
    "robustness_adversarial": False,
    "latency_p50_ms": True,
    "latency_p95_ms": True,
    "rows_per_second": False,
    "memory_mb": True,
    "size_mb": True,
    "forgetting_avoided": False,
    "learning_cost": True,
    "forgetting": True,
    "score": False,
}
"""Every number that an evaluation may report; any other name is a metric of the task, where higher is better."""

PER_ROW_METRICS = ("score", "brier", "forgetting")
"""Metrics with one value per test row: available on every group of rows, and testable."""


def is_lower_better(name: str) -> bool:
    """Tell whether lower values of a metric are better."""
    return LOWER_IS_BETTER.get(name, False)


def check_known(name: str, there: set[str]) -> None:
    """Check that an evaluation may report a metric of this name.

    Raises:
        ConfigError: it may not; the message suggests the closest names.
    """
    known = sorted({*LOWER_IS_BETTER, *there})
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigError(f"gates: rule: no metric '{name}'; {hint}there are: {', '.join(known)}")
