"""What holds for every file in cl/gating/gates, also for those that are yet to come."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cl import plugins

NEEDED = {
    "floor": {"min": 0.5},
    "ceiling": {"metric": "latency_ms", "max": 50},
    "forgetting": {"max": 0.05},
    "churn": {"max": 0.1},
    "rule": {"min": 0.5},
}


@pytest.fixture(params=plugins.names("gates"))
def gate(request):
    return plugins.build("gates", {"name": request.param, **NEEDED.get(request.param, {})})


def test_it_judges_a_challenger_beside_a_champion_and_tells_why_in_one_line(gate, evaluation, answers) -> None:
    scored = evaluation({"a": 0.8, "b": 0.7}, forgetting={"a": 0.01})
    rows = answers(a=([1.0] * 8 + [0.0] * 2, [1.0] * 8 + [0.0] * 2), b=([1.0] * 7 + [0.0] * 3, [1.0] * 7 + [0.0] * 3))
    rows["baseline_score"] = rows["challenger_score"]
    verdict = gate.judge(scored, rows, seed=1)
    assert verdict.passed and verdict.gate.startswith(gate.name)
    assert "\n" not in verdict.why and any(sign.isdigit() for sign in verdict.why)
    assert gate.judge(scored, rows, seed=1) == verdict


def test_it_judges_a_first_version(gate, evaluation, answers) -> None:
    assert gate.judge(evaluation({"a": 0.8}), answers(a=([1.0], None)), seed=1).passed


def test_it_refuses_a_field_it_does_not_have(gate) -> None:
    with pytest.raises(ValidationError):
        plugins.build("gates", {"name": gate.name, **NEEDED.get(gate.name, {}), "nonsense": 1})
