from __future__ import annotations

import numpy as np
import pytest

from cl.config.serving import CanaryBounds
from cl.serving.canary.comparison import Comparison, SideCounts, from_json
from cl.serving.canary.stopping import evidence_of_worse, stop_reason

BOUNDS = CanaryBounds()


def timed(milliseconds: float, requests: int = 100) -> SideCounts:
    side = SideCounts(rows=requests)
    for _ in range(requests):
        side.time(milliseconds)
    return side


def compared(**parts: object) -> Comparison:
    return Comparison("canary", "2", "1", **parts)


def test_a_canary_that_fails_or_is_slow_is_objected_to_once_there_is_enough_to_say_so() -> None:
    assert stop_reason(compared(own=SideCounts(rows=49, errors=49)), BOUNDS) is None
    assert "1 of 50 rows failed" in (stop_reason(compared(own=SideCounts(rows=50, errors=1)), BOUNDS) or "")
    assert stop_reason(compared(own=SideCounts(rows=100, errors=1)), BOUNDS) is None
    assert stop_reason(compared(own=timed(15), champion_side=timed(10)), BOUNDS) is None
    assert "the champion's 10 ms" in (stop_reason(compared(own=timed(30), champion_side=timed(10)), BOUNDS) or "")
    assert stop_reason(compared(own=timed(30, 49), champion_side=timed(10)), BOUNDS) is None


def test_labels_speak_against_a_canary_only_with_confidence() -> None:
    assert stop_reason(compared(both_right=900, won=20, lost=20), BOUNDS) is None
    assert stop_reason(compared(won=0, lost=6), BOUNDS) is None
    assert "labels show that it is worse" in (stop_reason(compared(won=1, lost=20), BOUNDS) or "")
    assert stop_reason(compared(won=200, lost=0), BOUNDS) is None


def test_evidence_is_the_mixture_likelihood_ratio() -> None:
    assert evidence_of_worse(won=0, lost=0) == 1
    chances = np.linspace(0.5, 1, 200_001)
    ratio = (2 * chances) ** 9 * (2 * (1 - chances)) ** 3
    assert evidence_of_worse(won=3, lost=9) == pytest.approx(float(np.trapezoid(ratio, chances) * 2), rel=1e-4)


def test_a_canary_that_is_no_worse_is_hardly_ever_called_worse_however_often_one_looks() -> None:
    rng, streams, alarms = np.random.default_rng(0), 400, 0
    for _ in range(streams):
        losses = np.cumsum(rng.random(120) < 0.5)
        alarms += any(
            evidence_of_worse(won=at + 1 - int(lost), lost=int(lost)) >= 1 / 0.05 for at, lost in enumerate(losses)
        )
    assert alarms <= 0.05 * streams


def test_comparisons_of_workers_add_up_and_survive_json() -> None:
    one, two = compared(own=timed(10), compared=5, agreed=4, won=1), compared(own=timed(100), compared=5, agreed=5)
    both = from_json(one.as_json()).plus(from_json(two.as_json()))
    assert (both.compared, both.agreed, both.won, both.own.requests) == (10, 9, 1, 200)
    assert both.own.quantile(0.25) == 10 and both.own.quantile(0.95) == 100
    assert both.as_json()["figures"]["agreement"] == 0.9
