"""The metrics that gates may use, and whether lower or higher is better."""

from __future__ import annotations

import difflib

from cl.errors import ConfigError
from cl.records.evaluation import BASELINES, FAULTS, TOGETHER

LOWER_IS_BETTER = {
    "ece": True,
    "brier": True,
    "nll": True,
    "bits_per_byte": True,
    "general_nll": True,
    **{f"share_{fault}": True for fault in FAULTS},
    "kl_from_champion": True,
    "length_ratio": False,
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

MAY_BE_UNDECIDED = {
    "accuracy": ("accuracy", "balanced_accuracy", "macro_f1"),
    "f1": ("f1", "macro_f1", "precision", "recall"),
}
"""Main metric of a task -> the metrics that it reports where the test rows decide them."""

PER_ROW_METRICS = ("score", "brier", "forgetting")
"""Metrics with one value per test row: available on every group of rows, and testable."""

SLICED_METRICS = (*PER_ROW_METRICS, *(name for name in TOGETHER if name != "f1"))
"""Metrics that a rule may ask of a slice; F1 is that of several tasks, most of which have none of a row."""

NO_SHARES = {
    "brier",
    "nll",
    "bits_per_byte",
    "general_nll",
    "kl_from_champion",
    "length_ratio",
    "latency_p50_ms",
    "latency_p95_ms",
    "rows_per_second",
    "memory_mb",
    "size_mb",
}
CEILINGS = {"calibration_error", "forgetting_max"}
SHARES = (
    {
        *LOWER_IS_BETTER,
        "calibration_error",
        "forgetting_max",
        "over_baseline",
        *(f"baseline_{name}" for name in BASELINES),
    }
    | {"accuracy", "balanced_accuracy", "macro_f1", "precision", "recall", *TOGETHER}
) - NO_SHARES
"""The numbers that lie between 0 and 1, or between -1 and 1 where they are differences."""


def not_a_share(name: str, **bounds: float | None) -> str | None:
    """Return what is wrong with bounds on a number that is a share, such as 2 for 2 %; None: nothing.

    >>> not_a_share("score", margin=2)
    "margin 2 is out of range, as 'score' lies between 0 and 1; for 2 % write 0.02"
    """
    for bound, value in bounds.items():
        if value is None or not (name in SHARES or name.startswith("f1/")):
            continue
        never_fails = bound == "margin" or (bound == "max" and (is_lower_better(name) or name in CEILINGS))
        if abs(value) > 1 or (value == 1 and never_fails):
            return (
                f"{bound} {value:g} is out of range, as '{name}' lies between 0 and 1; "
                f"for {value:g} % write {value / 100:g}"
            )
    return None


def may_be_undecided(name: str, main: str) -> bool:
    """Tell whether a task reports this metric unless its test rows cannot decide it.

    Args:
        name: the metric.
        main: the task's main metric.

    >>> may_be_undecided("f1/PER", "f1"), may_be_undecided("f1/PER", "accuracy")
    (True, False)
    """
    return name in MAY_BE_UNDECIDED.get(main, ()) or (main == "f1" and name.startswith("f1/"))


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
