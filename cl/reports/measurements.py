"""Measurements other than scores, with descriptions, for the HTML report and `cl gates`."""

from __future__ import annotations

from statistics import fmean

from cl.records import BASELINES, Control, Cycle, Evaluation, Record, Training
from cl.records.evaluation import FAULTS, UNMEASURED

UNDECIDED = "-"
"""What is shown where there is no score, because no row decides one."""
SHOWN = 8
"""The most names in a line."""
WORDS = {
    "over_baseline": "{metric} above the strongest baseline",
    **{f"baseline_{name}": "{metric} of " + words for name, words in BASELINES.items()},
    "end_to_end_f1": "end-to-end F1, spans found by the tagger",
    "end_to_end_precision": "end-to-end precision",
    "end_to_end_recall": "end-to-end recall",
    "end_to_end_spans": "pairs with a relation whose spans the tagger finds",
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "nll": "negative log-likelihood of the true answers, nats per token",
    "bits_per_byte": "bits for a byte of the texts",
    "general_nll": "negative log-likelihood of general texts, nats per token",
    "kl_from_champion": "KL(champion || challenger) on new prompts, nats per token",
    "length_ratio": "words of the answers over those of the true ones",
    **{f"share_{fault}": f"share of the answers that {words}" for fault, words in FAULTS.items()},
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

NAMES_TOGETHER = {
    "corpus_chrf": "chrF",
    "corpus_bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "exact_match": "exact match",
    "f1": "F1",
}


def format_share(value: float | None, *, unit: str = " %") -> str:
    """Return a share in percent, or a dash if it is undecided."""
    return UNDECIDED if value is None else f"{100 * value:.1f}{unit}"


def format_forgotten(evaluation: Evaluation | None) -> str:
    """Return the worst forgetting in points, or a dash if no past experience decides it."""
    return format_loss(evaluation.forgetting_max if evaluation else None)


def format_loss(share: float | None) -> str:
    """Return a loss in points: a number is a loss, and a gain is called one, so that no sign has to be known.

    >>> format_loss(0.029), format_loss(-0.016), format_loss(-0.0001), format_loss(None)
    ('2.9', 'gain 1.6', '0.0', '-')
    """
    if share is None:
        return UNDECIDED
    points = f"{abs(100 * share):.1f}"
    return f"gain {points}" if share < 0 and float(points) else points


def describe_score(cycle: Cycle) -> str:
    """Return the score of a cycle: the mean over experiences of the test rows' after an update, else the new rows'."""
    evaluation, drift = cycle.evaluation, cycle.drift
    if evaluation is not None and evaluation.unmeasured:
        return "nothing measured yet"
    if evaluation is not None:
        return f"mean {evaluation.metric} {format_share(evaluation.accuracy)} of {evaluation.rows:,} test"
    if drift.champion_score is None:
        return "-"
    return f"{drift.metric} {100 * drift.champion_score:.1f} % of {drift.rows:,} new"


def describe_balance(evaluation: Evaluation) -> list[str]:
    """Return what to know about the classes before a score is believed: how uneven they are, which are too thin."""
    if evaluation.unmeasured:
        return [UNMEASURED]
    lines = []
    if evaluation.majority_share is not None:
        recall = fmean(metrics["recall"] for metrics in evaluation.per_class.values())
        name = "balanced accuracy" if evaluation.metric == "accuracy" else "mean recall of the classes"
        share = 100 * evaluation.majority_share
        lines.append(f"{name} {100 * recall:.1f} %; the most frequent class has {share:.1f} % of the test rows")
    if thin := evaluation.thin_classes:
        names = ", ".join(f"{name} ({int(evaluation.per_class[name]['count'])})" for name in thin[:SHOWN])
        more = f" and {len(thin) - SHOWN} more" if len(thin) > SHOWN else ""
        lines.append(f"too few test rows to judge {len(thin)} of {len(evaluation.per_class)} classes: {names}{more}")
    if untested := evaluation.untested_classes:
        more = f" and {len(untested) - SHOWN} more" if len(untested) > SHOWN else ""
        listed = ", ".join(untested[:SHOWN])
        lines.append(f"no test row for {len(untested)} of the known classes, so undecided: {listed}{more}")
    lines += [f"{UNDECIDED} no score on {name}: {why}" for name, why in list(evaluation.undecided.items())[-SHOWN:]]
    return lines


def describe_baselines(evaluation: Evaluation) -> list[str]:
    """Return the scores of the baselines in one line, and a warning if the strongest beats the challenger."""
    baselines, strongest = evaluation.baselines, evaluation.baselines.strongest
    if strongest is None:
        return []
    scores = [f"{BASELINES[name]} {format_share(baseline.accuracy)}" for name, baseline in baselines.of.items()]
    lines = [f"on the same rows: {', '.join(scores)}"]
    best, own = baselines.of[strongest].accuracy, evaluation.accuracy
    if best is not None and own is not None and (behind := best - own) > 0:
        lines.append(f"the challenger is {100 * behind:.1f} points below {BASELINES[strongest]}")
    return lines


def describe_end_to_end(evaluation: Evaluation) -> list[str]:
    """Return the score on the spans that the tagger finds, next to that on the marked ones; []: there is no tagger."""
    if evaluation.tagger is None:
        return []
    now, before = (numbers.get("end_to_end_f1") for numbers in (evaluation.numbers, evaluation.champion_numbers))
    champion = "" if before is None else f" (champion {format_share(before)})"
    spans = format_share(evaluation.numbers.get("end_to_end_spans"))
    return [
        f"end to end with {evaluation.tagger}: F1 {format_share(now)}{champion}; on marked spans "
        f"{format_share(evaluation.accuracy)}; it finds both spans of {spans} of the pairs with a relation"
    ]


def describe_early_signs(evaluation: Evaluation) -> list[str]:
    """Return the early signs of forgetting of a language model in one line; none where they were not measured."""
    now, before = evaluation.numbers, evaluation.champion_numbers
    of = "of the texts" if "bits_per_byte" in now else "of the true answers"
    words = {"nll": of, "general_nll": "of general texts"}
    parts = [
        f"NLL {words[name]} {now[name]:.3f}" + (f" (champion {before[name]:.3f})" if name in before else "")
        for name in words
        if name in now
    ]
    if (divergence := now.get("kl_from_champion")) is not None:
        parts.append(f"KL from the champion on new prompts {divergence:.3f}")
    line = [f"{', '.join(parts)} nats per token"] if parts else []
    if (bits := now.get("bits_per_byte")) is not None:
        known = before.get("bits_per_byte")
        line.append(f"{bits:.4f} bits per byte" + ("" if known is None else f" (champion {known:.4f})"))
    return ["; ".join(line)] if line else []


def describe_faults(evaluation: Evaluation) -> list[str]:
    """Return in one line which share of the written answers has which fault; none where nothing was written."""
    now, before = evaluation.numbers, evaluation.champion_numbers
    parts = [
        f"{format_share(now[name])} {words}" + (f" (champion {format_share(before[name])})" if name in before else "")
        for name, words in ((f"share_{fault}", words) for fault, words in FAULTS.items())
        if name in now and (now[name] or before.get(name))
    ]
    if parts:
        return [f"of the answers, {', '.join(parts)}"]
    return ["no answer is cut, repeats itself, is blank or in another script"] if "share_cut" in now else []


def describe_comparisons(evaluation: Evaluation) -> list[str]:
    """Return in one line the scores of all written answers together, with the interval of the difference."""
    parts = [
        f"{NAMES_TOGETHER[each.metric]} {format_share(each.challenger)} (champion {format_share(each.champion)}, "
        f"95 % interval {100 * each.low:+.1f} to {100 * each.high:+.1f})"
        for each in evaluation.comparisons
        if each.challenger or each.champion
    ]
    return [f"all {evaluation.comparisons[0].rows:,} written rows together: {', '.join(parts)}"] if parts else []


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


def describe_cut(training: Training) -> str | None:
    """Describe how many new rows were learned without their ends, and what helps; None: none were."""
    if not training.rows_cut:
        return None
    return (
        f"{training.rows_cut:,} of {training.rows_new:,} new rows are longer than the {training.most_tokens:,} tokens "
        "that the model reads, and were cut there: raise model.max_length, or set model.windows"
    )


def _points(share: float, if_positive: str, if_negative: str) -> str:
    return f"{100 * abs(share):.1f} points {if_positive if share >= 0 else if_negative}"
