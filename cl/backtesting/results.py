"""What came of the runs: one result for each strategy and policy, with mean and spread over seeds."""

from __future__ import annotations

import statistics
from typing import Any

from pydantic import Field

from cl.backtesting.run import Line, Outcome
from cl.evaluation import continual
from cl.records import Record


class RungUse(Record):
    """What one rung of the ladder was good for, over the stream: means over runs."""

    begun: float
    passed: float
    skipped: float = Field(description="Times that the budget left no room for it")
    rows: float
    seconds: float = Field(description="Of training and judging")


class Result(Record):
    """A strategy under a policy: scores are 0 to 1, numbers means over seeds, ``_std`` their standard deviations.

    A number is null where there is none: no run was finished, or there is nothing to compare with.
    """

    name: str
    experiences: list[str]
    seeds: list[int] = Field(description="Of the finished runs, of which all numbers are")
    failures: dict[int, str] = Field(default={}, description="Seed -> why its run stopped")
    matrix: list[list[float]] = Field(
        description="R: a row for each experience learnt, a column for each tested; without a finished run, as far as "
        "the first one came"
    )
    acc: float | None = None
    acc_std: float | None = None
    forgetting: float | None = Field(default=None, description="Mean over past experiences; 0 when there is none")
    forgetting_std: float | None = None
    forgetting_max: float | None = Field(default=None, description="Of one experience, in the mean matrix")
    bwt: float | None = None
    bwt_std: float | None = None
    fwt: float | None = None
    fwt_std: float | None = None
    intransigence: float | None = Field(
        default=None, description="Against `joint` under the policy `always` with the same seeds, where it is there"
    )
    intransigence_std: float | None = None
    worst_class: str = ""
    worst_class_score: float | None = None
    worst_class_std: float | None = None
    classes: dict[str, float] = Field(default={}, description="Score of each class after the last experience")
    seconds: float | None = Field(default=None, description="Of learning, over the whole stream")
    seconds_std: float | None = None
    scoring_seconds: float | None = None
    updates: int | None = Field(default=None, description="How often something was learnt")
    rows_trained: int | None = None
    forward_rows: int | None = None
    backward_rows: int | None = None
    peak_memory_mb: float | None = None
    peak_gpu_memory_mb: float | None = Field(default=None, description="Of tensors on the GPU; null: there is none")
    bytes_kept: int | None = None
    version_bytes: int | None = None
    rungs: dict[str, RungUse] = Field(default={}, description="Rung -> its use, where the ladder was climbed")
    accuracy_over_time: list[float] = Field(default=[], description="Mean score on the experiences so far, after each")


def summarise(outcomes: list[Outcome], *, names_with_policy: bool) -> list[Result]:
    """Return one result for each strategy and policy, in the order of the runs; failed runs say why."""
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        name = f"{one.spec.label}/{one.spec.policy}" if names_with_policy else one.spec.label
        groups.setdefault(name, []).append(one)
    upper = next((_matrices(runs) for runs in groups.values() if _is_joint(runs[0]) and _matrices(runs)), {})
    return [_result(name, runs, upper) for name, runs in groups.items()]


def _is_joint(run: Outcome) -> bool:
    """Tell whether this is what intransigence is defined against: all data at hand, at every step."""
    return not run.spec.config.get("ladder") and run.spec.strategies == ["joint"] and run.spec.policy == "always"


def _matrices(runs: list[Outcome]) -> dict[int, list[list[float]]]:
    return {one.spec.seed: [line.scores for line in one.lines] for one in runs if not one.failure}


def _result(name: str, runs: list[Outcome], upper: dict[int, list[list[float]]]) -> Result:
    named: dict[str, Any] = {
        "name": name,
        "experiences": runs[0].spec.experiences,
        "failures": {one.spec.seed: one.failure for one in runs if one.failure},
    }
    matrices = _matrices(runs)
    if not matrices:
        return Result(**named, seeds=[], matrix=[line.scores for line in runs[0].lines])
    mean = [
        [statistics.fmean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices.values(), strict=True)
    ]
    finished = [one.lines for one in runs if not one.failure]
    return Result(
        **named,
        seeds=list(matrices),
        matrix=mean,
        forgetting_max=max(continual.forgetting(continual.by_index(mean)).values(), default=0.0),
        accuracy_over_time=[statistics.fmean(row[: at + 1]) for at, row in enumerate(mean)],
        **_scores(matrices, upper),
        **_classes([lines[-1].classes for lines in finished]),
        **_costs(finished),
        rungs=_rungs(runs[0].spec.config, finished),
    )


def _scores(matrices: dict[int, list[list[float]]], upper: dict[int, list[list[float]]]) -> dict[str, float]:
    """Return each measure's mean and spread over the seeds that have it."""
    named = {seed: continual.by_index(one) for seed, one in matrices.items()}
    joint = {seed: continual.by_index(one) for seed, one in upper.items()}
    found: dict[str, list[float] | list[float | None]] = {
        "acc": [continual.accuracy(one) for one in named.values()],
        "forgetting": [statistics.fmean(continual.forgetting(one).values() or [0.0]) for one in named.values()],
        "bwt": [continual.backward_transfer(one) for one in named.values()],
        "fwt": [continual.forward_transfer(one) for one in named.values()],
        "intransigence": [continual.intransigence(one, joint[seed]) for seed, one in named.items() if seed in joint],
    }
    scores = {}
    for name, values in found.items():
        if known := [one for one in values if one is not None]:
            scores[name], scores[f"{name}_std"] = continual.spread(known)
    return scores


def _classes(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return the mean score of each class, and which of them is worst; nothing where no class was tested."""
    classes = {name: statistics.fmean(one[name] for one in runs) for name in runs[0]}
    if not classes:
        return {}
    worst = min(classes, key=lambda name: classes[name])
    score, std = continual.spread([one[worst] for one in runs])
    return {"classes": classes, "worst_class": worst, "worst_class_score": score, "worst_class_std": std}


def _costs(runs: list[list[Line]]) -> dict[str, Any]:
    """Return costs over the stream, as means over runs."""

    def total(field: str) -> list[float]:
        return [sum(getattr(line, field) for line in lines) for lines in runs]

    def most(field: str) -> float:
        return statistics.fmean(max(getattr(line, field) for line in lines) for lines in runs)

    seconds, seconds_std = continual.spread(total("seconds"))
    on_gpu = all(line.peak_gpu_memory_mb is not None for lines in runs for line in lines)
    return {
        "seconds": round(seconds, 1),
        "seconds_std": round(seconds_std, 2),
        "scoring_seconds": round(statistics.fmean(total("scoring_seconds")), 1),
        **{name: round(statistics.fmean(total(name))) for name in ("rows_trained", "forward_rows", "backward_rows")},
        "updates": round(statistics.fmean(sum(bool(line.learnt) for line in lines) for lines in runs)),
        "peak_memory_mb": round(most("peak_memory_mb"), 1),
        "peak_gpu_memory_mb": round(most("peak_gpu_memory_mb"), 1) if on_gpu else None,
        "bytes_kept": round(most("bytes_kept")),
        "version_bytes": round(most("version_bytes")),
    }


def _rungs(config: dict[str, Any], runs: list[list[Line]]) -> dict[str, RungUse]:
    """Return what came of each rung, in the ladder's order."""
    attempts = [one for lines in runs for line in lines if line.climb for one in line.climb.attempts]
    found = {}
    for rung in (config.get("ladder") or []) if runs else []:
        own = [one for one in attempts if one.rung == rung["name"]]
        found[rung["name"]] = RungUse(
            begun=sum(one.skipped is None for one in own) / len(runs),
            passed=sum(one.passed for one in own) / len(runs),
            skipped=sum(one.skipped is not None for one in own) / len(runs),
            rows=sum(one.rows for one in own) / len(runs),
            seconds=round(sum(one.seconds for one in own) / len(runs), 1),
        )
    return found
