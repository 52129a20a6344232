"""What came of the runs: one result for each strategy and policy, with mean and spread over seeds."""

from __future__ import annotations

import statistics
from typing import Any

from pydantic import Field

from cl.backtesting import measures
from cl.backtesting.run import Line, Outcome
from cl.records import Record


class Result(Record):
    """A strategy under a policy; numbers are means over seeds, scores are 0 to 1."""

    name: str
    experiences: list[str]
    seeds: list[int]
    matrix: list[list[float]] = Field(description="R: a row for each experience learnt, a column for each tested")
    acc: float
    acc_std: float = 0.0
    forgetting: float = Field(description="Mean over past experiences; 0 when there is none")
    forgetting_std: float = 0.0
    forgetting_max: float = 0.0
    bwt: float | None = None
    fwt: float | None = None
    intransigence: float | None = Field(default=None, description="Against `joint`, when it is in the backtest")
    worst_class: str = ""
    worst_class_score: float = 0.0
    seconds: float = Field(description="Of learning, over the whole stream")
    scoring_seconds: float
    updates: int = Field(description="How often something was learnt")
    rows_trained: int
    forward_rows: int
    backward_rows: int
    peak_memory_mb: float
    bytes_kept: int
    version_bytes: int
    accuracy_over_time: list[float] = Field(description="Mean score on the experiences so far, after each")
    failure: str | None = None


def summarise(outcomes: list[Outcome], *, names_with_policy: bool) -> list[Result]:
    """Return one result for each strategy and policy, in the order of the runs; failed runs say why."""
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        name = f"{one.spec.label}/{one.spec.policy}" if names_with_policy else one.spec.label
        groups.setdefault(name, []).append(one)
    results = [_result(name, runs) for name, runs in groups.items()]
    joint = next((one for one in results if one.name.split("/")[0] == "joint" and not one.failure), None)
    if joint is None:
        return results
    return [
        one
        if one.failure
        else one.model_copy(update={"intransigence": measures.intransigence(one.matrix, joint.matrix)})
        for one in results
    ]


def _result(name: str, runs: list[Outcome]) -> Result:
    failure = next((one.failure for one in runs if one.failure), None)
    seeds = [int(one.spec.config["seed"]) for one in runs]
    if failure:
        return _failed(name, runs[0], seeds, failure)
    matrices = [[line.scores for line in one.lines] for one in runs]
    acc, acc_std = measures.spread([measures.accuracy(one) for one in matrices])
    lost, lost_std = measures.spread([statistics.fmean(measures.forgetting(one) or [0.0]) for one in matrices])
    mean = [[statistics.fmean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]
    classes = {key: statistics.fmean(one.lines[-1].classes[key] for one in runs) for key in runs[0].lines[-1].classes}
    worst = min(classes, key=lambda key: classes[key])
    return Result(
        name=name,
        experiences=runs[0].spec.experiences,
        seeds=seeds,
        matrix=mean,
        acc=acc,
        acc_std=acc_std,
        forgetting=lost,
        forgetting_std=lost_std,
        forgetting_max=max(measures.forgetting(mean), default=0.0),
        bwt=measures.backward_transfer(mean),
        fwt=measures.forward_transfer(mean),
        worst_class=worst,
        worst_class_score=classes[worst],
        accuracy_over_time=[statistics.fmean(row[: at + 1]) for at, row in enumerate(mean)],
        **_costs([one.lines for one in runs]),
    )


def _costs(runs: list[list[Line]]) -> dict[str, Any]:
    """Return costs over the stream, as means over runs."""

    def total(field: str) -> float:
        return statistics.fmean(sum(getattr(line, field) for line in lines) for lines in runs)

    def most(field: str) -> float:
        return statistics.fmean(max(getattr(line, field) for line in lines) for lines in runs)

    return {
        "seconds": round(total("seconds"), 1),
        "scoring_seconds": round(total("scoring_seconds"), 1),
        **{name: round(total(name)) for name in ("rows_trained", "forward_rows", "backward_rows")},
        "updates": round(statistics.fmean(sum(bool(line.learnt) for line in lines) for lines in runs)),
        "peak_memory_mb": round(most("peak_memory_mb"), 1),
        "bytes_kept": round(most("bytes_kept")),
        "version_bytes": round(most("version_bytes")),
    }


def _failed(name: str, run: Outcome, seeds: list[int], failure: str) -> Result:
    costs = _costs([run.lines]) if run.lines else dict.fromkeys(
        ("seconds", "scoring_seconds", "rows_trained", "forward_rows", "backward_rows", "updates", "peak_memory_mb",
         "bytes_kept", "version_bytes"), 0,
    )  # fmt: skip
    return Result(
        name=name, experiences=run.spec.experiences, seeds=seeds, matrix=[line.scores for line in run.lines], acc=0.0,
        forgetting=0.0, accuracy_over_time=[], failure=failure, **costs,
    )  # fmt: skip
