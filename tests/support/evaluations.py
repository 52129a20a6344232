"""Evaluations and per-row predictions as gates see them."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from cl.records import Evaluation, Score


@pytest.fixture
def evaluation() -> Callable[..., Evaluation]:
    """An evaluation from experience -> score; the last one is the newest."""

    def make(scores: dict[str, float | None], **changes: object) -> Evaluation:
        metrics = changes.pop("metrics", {})
        known = [value for value in scores.values() if value is not None]
        return Evaluation(
            **{
                "metric": "accuracy",
                "challenger": [
                    Score(
                        experience=one,
                        rows=10,
                        value=value,
                        metrics=metrics.get(one, {}),  # type: ignore[attr-defined]
                        undecided="" if value is not None else "no entity occurs or is predicted in its 10 test rows",
                    )
                    for one, value in scores.items()
                ],
                "accuracy": sum(known) / max(1, len(known)),
                "newest": list(scores)[-1] if scores else "",
                "updates": len(scores),
                "calibration_error": 0.04,
                "latency_ms": 6.0,
                "size_mb": 90.0,
                "predictions": "unused",
                **changes,
            }
        )

    return make


@pytest.fixture
def answers() -> Callable[..., pd.DataFrame]:
    """Row scores of challenger and champion, by experience."""

    def make(**experiences: tuple[list[float], list[float] | None]) -> pd.DataFrame:
        parts = [
            pd.DataFrame({"experience": one, "challenger_score": now, "champion_score": before or [None] * len(now)})
            for one, (now, before) in experiences.items()
        ]
        return pd.concat(parts, ignore_index=True)

    return make
