"""What was measured beside scores, in words: for the HTML report and for `cl gates`."""

from __future__ import annotations

from cl.records import Control, Evaluation, Record

WORDS = {
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "oos_auroc": "out-of-scope AUROC",
    "robustness_typos": "{metric} with typing errors",
    "robustness_casing": "{metric} in other casing",
    "robustness_adversarial": "{metric} against an adversary",
    "latency_p50_ms": "latency p50, ms",
    "latency_p95_ms": "latency p95, ms",
    "rows_per_second": "rows a second",
    "memory_mb": "memory, MB",
    "size_mb": "size on disk, MB",
    "forgetting_avoided": "forgetting avoided (control arm)",
    "learning_cost": "cost to the new (control arm)",
}


class Measurement(Record):
    """One number of challenger and champion."""

    name: str
    words: str
    challenger: float | None
    champion: float | None


def list_measurements(evaluation: Evaluation) -> list[Measurement]:
    """Return every number that was measured, the champion's beside the challenger's."""
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
    """Return what the control arm showed, as a sentence."""
    learnt = f"A naive control arm ({control.rows} new rows, {control.epochs} epochs, {control.seconds:.1f} s)"
    if control.forgetting_avoided is None:
        past = "has no past experience to forget"
    else:
        past = f"ends {_points(control.forgetting_avoided, 'below', 'above')} the challenger on past experiences"
    if control.learning_cost is None:
        return f"{learnt} {past}."
    return f"{learnt} {past}, and {_points(control.learning_cost, 'above', 'below')} it on the new."


def _points(share: float, gained: str, lost: str) -> str:
    return f"{100 * abs(share):.1f} points {gained if share >= 0 else lost}"
