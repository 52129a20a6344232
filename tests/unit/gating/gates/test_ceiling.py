from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from cl.gating.gates.ceiling import Ceiling


@pytest.mark.parametrize(("bound", "passed"), [(5.9, False), (6.0, True), (6.1, True)])
def test_a_number_may_reach_its_bound_and_not_exceed_it(evaluation, bound, passed) -> None:
    verdict = Ceiling(metric="latency_ms", max=bound).judge(evaluation({"a": 0.9}), pd.DataFrame(), seed=0)
    assert verdict.passed is passed
    assert verdict.gate == "ceiling latency_ms" and verdict.measured == 6.0
    assert verdict.why == f"one prediction takes 6.0 ms, at most {bound:.1f} ms are accepted"


@pytest.mark.parametrize(("metric", "value"), [("calibration_error", 0.04), ("size_mb", 90.0), ("forgetting_max", 0.2)])
def test_every_number_it_offers_is_one_of_the_evaluation(evaluation, metric, value) -> None:
    scored = evaluation({"a": 0.9}, forgetting={"a": 0.2})
    assert Ceiling(metric=metric, max=0.1).judge(scored, pd.DataFrame(), seed=0).measured == value


def test_another_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="metric"):
        Ceiling(metric="accuracy", max=1)
