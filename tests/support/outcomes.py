"""How a run may have ended, made without running it."""

from __future__ import annotations

from typing import Any

from cl.backtesting.run import Line, Outcome, RunSpec

GOOD = [[0.9, 0.0], [0.8, 0.9]]
POOR = [[0.7, 0.2], [0.3, 0.6]]


def ended(
    matrix: list[list[float]], label: str = "own", strategy: Any = "naive", *, policy: Any = "always", seed: int = 0,
    failure: str | None = None, classes: dict[str, float] | None = None,
) -> Outcome:  # fmt: skip
    config = {"strategy": strategy, "seed": seed}
    spec = RunSpec(label=label, policy=policy, config=config, stream="", experiences=["a", "b"], folder="")
    lines = [
        Line(
            experience=name, scores=scores, classes=classes or {}, learnt=[name], seconds=1.0 + seed, scoring_seconds=1,
            cpu_seconds=2, rows_trained=10, forward_rows=20, backward_rows=10, peak_memory_mb=100, bytes_kept=5,
            version_bytes=9,
        )
        for name, scores in zip("ab", matrix, strict=False)
    ]  # fmt: skip
    return Outcome(spec=spec, lines=lines, failure=failure)
