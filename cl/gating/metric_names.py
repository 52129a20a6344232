"""The numbers that gates may ask for, and which way is better."""

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
"""Every number that an evaluation may know by name; what is not here is one of the task's metrics: higher is better."""

OF_ROWS = ("score", "brier", "forgetting")
"""Those that each test row has for itself: they are known on every group of rows, and can be tested."""


def is_lower_better(name: str) -> bool:
    """Tell whether less of a number is better."""
    return LOWER_IS_BETTER.get(name, False)


def check_known(name: str, there: set[str]) -> None:
    """Check that a number's name is one that an evaluation may have.

    Raises:
        ConfigError: it is not; the message has the nearest right names.
    """
    known = sorted({*LOWER_IS_BETTER, *there})
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigError(f"gates: rule: no number '{name}'; {hint}there are: {', '.join(known)}")
