"""Measurements other than scores, with descriptions, for the HTML report and `cl gates`."""

from __future__ import annotations

from cl.records import Control, Evaluation, Record

WORDS = {
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "oos_auroc": "out-of-scope AUROC",
    "robustness_typos": "{metric} with typos",
    "robustness_casing": "{metric} in other casing",
    "robustness_adversarial": "{metric} under adversarial attack",
    "latency_p50_ms": "latency p50, ms",
    "latency_p95_ms": "latency p95, ms",
    "rows_per_second": "rows per second",
    "memory_mb": "memory, MB",
    "size_mb": "size on disk, MB",
    "forgetting_avoided": "forgetting avoided (control arm)",
    "learning_cost": "learning cost (control arm)",
}


class Measurement(Record):
    """A measurement of challenger and champion."""

    name: str
    words: str
    challenger: float | None
    champion: float | None


def list_measurements(evaluation: Evaluation) -> list[Measurement]:
    """Return every measurement, with the values of challenger and champion."""
    now, before = evaluation.numbers, evaluation.champion_numbers
    names = [*now, *(name for name in before if name not in now)]
    return [
        Measurement(
            name=name,
            words=WORDS.get(name, name).format(metric=evaluation.metric),
            challenger=now.get(name),
            champion=before.get(name),
        )
        for name in names
    ]


def describe_control(control: Control) -> str:
    """Describe the result of the control arm in a sentence."""
    arm = f"A naive control arm ({control.rows} new rows, {control.epochs} epochs, {control.seconds:.1f} s)"
    if control.forgetting_avoided is None:
        past = "has no past experience to forget"
    else:
        past = f"ends {_points(control.forgetting_avoided, 'below', 'above')} the challenger on past experiences"
    if control.learning_cost is None:
        return f"{arm} {past}."
    return f"{arm} {past}, and {_points(control.learning_cost, 'above', 'below')} it on the new experience."


def _points(share: float, if_positive: str, if_negative: str) -> str:
    return f"{100 * abs(share):.1f} points {if_positive if share >= 0 else if_negative}"
