"""Results of the runs: one per strategy and policy, with mean and standard deviation over seeds."""

from __future__ import annotations

import statistics
from typing import Any

from pydantic import Field

from cl.backtesting.run import Line, Outcome
from cl.evaluation import continual
from cl.records import Record

Rows = list[list[float | None]]


class RungUse(Record):
    """The use of one rung over the stream: means over runs."""

    begun: float
    passed: float
    skipped: float = Field(description="How often the budget did not allow it")
    rows: float
    seconds: float = Field(description="Seconds of training and evaluation")


class Result(Record):
    """A strategy under a policy: scores from 0 to 1, means over seeds, and ``_std`` for standard deviations.

    A number is null if no run was finished, or there is nothing to compare with.
    """

    name: str
    experiences: list[str]
    seeds: list[int] = Field(description="Seeds of the finished runs, from which all numbers come")
    failures: dict[int, str] = Field(default={}, description="Seed -> why its run failed")
    matrix: list[list[float | None]] = Field(
        description="R: a row for each experience learned, a column for each tested, null where the test rows cannot "
        "decide a score; without a finished run, the rows of the first run"
    )
    acc: float | None = None
    acc_std: float | None = None
    forgetting: float | None = Field(
        default=None, description="Mean over past experiences; 0 before there is one, null if none is decided"
    )
    forgetting_std: float | None = None
    forgetting_max: float | None = Field(
        default=None, description="Largest forgetting of an experience in the mean matrix"
    )
    bwt: float | None = None
    bwt_std: float | None = None
    fwt: float | None = None
    fwt_std: float | None = None
    intransigence: float | None = Field(
        default=None, description="Relative to `joint` under the policy `always` with the same seeds, if it was run"
    )
    intransigence_std: float | None = None
    worst_class: str = ""
    worst_class_score: float | None = None
    worst_class_std: float | None = None
    classes: dict[str, float] = Field(default={}, description="Score of each class after the last experience")
    seconds: float | None = Field(default=None, description="Training time over the whole stream")
    seconds_std: float | None = None
    scoring_seconds: float | None = None
    cpu_seconds: float | None = Field(default=None, description="Processor time of learning and scoring")
    updates: int | None = Field(default=None, description="Number of updates")
    rows_trained: int | None = None
    forward_rows: int | None = None
    backward_rows: int | None = None
    peak_memory_mb: float | None = None
    peak_gpu_memory_mb: float | None = Field(default=None, description="Of tensors on the GPU; null: no GPU")
    bytes_kept: int | None = None
    version_bytes: int | None = None
    rungs: dict[str, RungUse] = Field(default={}, description="Rung -> its use, if the ladder was climbed")
    accuracy_over_time: list[float | None] = Field(
        default=[], description="Mean score on the experiences so far, after each"
    )


def summarise(outcomes: list[Outcome], *, names_with_policy: bool) -> list[Result]:
    """Return one result per strategy and policy, in the order of the runs, with the failures."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        name = f"{outcome.spec.label}/{outcome.spec.policy}" if names_with_policy else outcome.spec.label
        groups.setdefault(name, []).append(outcome)
    upper = next(
        (_matrices_by_seed(runs) for runs in groups.values() if _is_joint(runs[0]) and _matrices_by_seed(runs)), {}
    )
    return [_summarise_runs(name, runs, upper) for name, runs in groups.items()]


def _is_joint(run: Outcome) -> bool:
    """Return whether this run is the reference of intransigence: training on all data at every step."""
    return not run.spec.config.get("ladder") and run.spec.strategies == ["joint"] and run.spec.policy == "always"


def _matrices_by_seed(runs: list[Outcome]) -> dict[int, Rows]:
    return {run.spec.seed: [line.scores for line in run.lines] for run in runs if not run.failure}


def _summarise_runs(name: str, runs: list[Outcome], upper: dict[int, Rows]) -> Result:
    named: dict[str, Any] = {
        "name": name,
        "experiences": runs[0].spec.experiences,
        "failures": {run.spec.seed: run.failure for run in runs if run.failure},
    }
    matrices = _matrices_by_seed(runs)
    if not matrices:
        return Result(**named, seeds=[], matrix=[line.scores for line in runs[0].lines])
    mean = [
        [continual.mean_of(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices.values(), strict=True)
    ]
    finished = [run.lines for run in runs if not run.failure]
    return Result(
        **named,
        seeds=list(matrices),
        matrix=mean,
        forgetting_max=max(_forgotten(continual.by_index(mean)), default=None),
        accuracy_over_time=[continual.mean_of(row[: index + 1]) for index, row in enumerate(mean)],
        **_summarise_scores(matrices, upper),
        **_summarise_classes([lines[-1].classes for lines in finished]),
        **_summarise_costs(finished),
        rungs=_summarise_rungs(runs[0].spec.config, finished),
    )


def _summarise_scores(matrices: dict[int, Rows], upper: dict[int, Rows]) -> dict[str, float]:
    """Return mean and standard deviation of each metric over the seeds that have it."""
    named = {seed: continual.by_index(matrix) for seed, matrix in matrices.items()}
    joint = {seed: continual.by_index(matrix) for seed, matrix in upper.items()}
    measures: dict[str, list[float | None]] = {
        "acc": [continual.accuracy(matrix) for matrix in named.values()],
        "forgetting": [continual.mean_of(_forgotten(matrix)) for matrix in named.values()],
        "bwt": [continual.backward_transfer(matrix) for matrix in named.values()],
        "fwt": [continual.forward_transfer(matrix) for matrix in named.values()],
        "intransigence": [
            continual.intransigence(matrix, joint[seed]) for seed, matrix in named.items() if seed in joint
        ],
    }
    scores = {}
    for name, values in measures.items():
        if known := [value for value in values if value is not None]:
            scores[name], scores[f"{name}_std"] = continual.spread(known)
    return scores


def _forgotten(matrix: dict[int, dict[int, float]]) -> list[float]:
    """Return the forgetting of each past experience that decides it; before there is a past, nothing is forgotten."""
    return list(continual.forgetting(matrix).values()) if len(matrix) > 1 else [0.0]


def _summarise_classes(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return the mean score of each class and the worst class; {} if no class was tested."""
    classes = {name: statistics.fmean(run[name] for run in runs) for name in runs[0]}
    if not classes:
        return {}
    worst = min(classes, key=lambda name: classes[name])
    score, std = continual.spread([run[worst] for run in runs])
    return {"classes": classes, "worst_class": worst, "worst_class_score": score, "worst_class_std": std}


def _summarise_costs(runs: list[list[Line]]) -> dict[str, Any]:
    """Return the costs over the stream as means over runs."""

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
        "cpu_seconds": round(statistics.fmean(total("cpu_seconds")), 1),
        **{name: round(statistics.fmean(total(name))) for name in ("rows_trained", "forward_rows", "backward_rows")},
        "updates": round(statistics.fmean(sum(bool(line.learnt) for line in lines) for lines in runs)),
        "peak_memory_mb": round(most("peak_memory_mb"), 1),
        "peak_gpu_memory_mb": round(most("peak_gpu_memory_mb"), 1) if on_gpu else None,
        "bytes_kept": round(most("bytes_kept")),
        "version_bytes": round(most("version_bytes")),
    }


def _summarise_rungs(config: dict[str, Any], runs: list[list[Line]]) -> dict[str, RungUse]:
    """Return the use of each rung, in the ladder's order."""
    attempts = [attempt for lines in runs for line in lines if line.climb for attempt in line.climb.attempts]
    uses = {}
    for rung in (config.get("ladder") or []) if runs else []:
        own = [attempt for attempt in attempts if attempt.rung == rung["name"]]
        uses[rung["name"]] = RungUse(
            begun=sum(attempt.skipped is None for attempt in own) / len(runs),
            passed=sum(attempt.passed for attempt in own) / len(runs),
            skipped=sum(attempt.skipped is not None for attempt in own) / len(runs),
            rows=sum(attempt.rows for attempt in own) / len(runs),
            seconds=round(sum(attempt.seconds for attempt in own) / len(runs), 1),
        )
    return uses
