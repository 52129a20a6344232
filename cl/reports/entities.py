"""The classification report of entities, as seqeval prints it for CoNLL-2003."""

from __future__ import annotations

from collections.abc import Mapping

METRICS = ("precision", "recall", "f1")
REPORT = "classification_report.txt"
"""The file with the report, in the run of a cycle."""


def format_report(report: Mapping[str, Mapping[str, float]]) -> str:
    """Return the scores of each entity type and their averages as a table; empty without any.

    >>> scores = {"count": 2.0, "precision": 0.5, "recall": 1.0, "f1": 2 / 3}
    >>> print(format_report({"LOC": scores, "micro avg": scores}))
                  precision    recall  f1-score   support
    <BLANKLINE>
             LOC       0.50      1.00      0.67         2
    <BLANKLINE>
       micro avg       0.50      1.00      0.67         2
    """
    if not report:
        return ""
    width = max(len("weighted avg"), *map(len, report))
    heads = ("precision", "recall", "f1-score", "support")
    lines = [" " * (width + 1) + "".join(f" {name:>9}" for name in heads)]
    separated = {next(iter(report)), "micro avg"}
    for name, scores in report.items():
        numbers = [f" {scores[metric]:>9.2f}" for metric in METRICS]
        lines += [""] if name in separated else []
        lines.append(f"{name:>{width}} " + "".join(numbers) + f" {scores['count']:>9.0f}")
    return "\n".join(lines)
