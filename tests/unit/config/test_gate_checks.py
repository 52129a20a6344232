from __future__ import annotations

import json
from pathlib import Path

import pytest

from cl.config import load, parse
from cl.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cl.yaml"
    path.write_text(text)
    return path


MIN = {"min": 0.5}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"ladder": [{"name": "a", "gate_policy": {"mode": "off"}}]}, r"ladder\.0\.gate_policy is not a known key"),
        ({"ladder": [{"name": "a", "gates": []}]}, r"ladder\.0\.gates is not a known key"),
        ({"gates": None}, "gates must be a list, got nothing"),
        ({"gate_policy": None}, "gate_policy must be keys with values, got nothing"),
        ({"gate_policy": {"mod": "off"}}, "gate_policy.mod is not a known key"),
        ({"gate": []}, "did you mean 'gates'"),
        ({"gates": {}}, "gates must be a list"),
        (
            {"gates": ["no_regression", {"name": "no_regression", "margin": 0.02}]},
            "listed twice with the same",
        ),
        ({"gates": [{"name": "ceiling", "metric": "size_mb", "max": 9}] * 2}, "listed twice with the same"),
        ({"gates": [{"name": "no_regression", "marign": 0.5}]}, "marign is not a known key; did you mean 'margin'"),
        ({"gates": [{"name": "no_regression", "margin": -0.1}]}, "margin must be at least 0"),
        ({"gates": [{"name": "no_regression", "margin": 2}]}, "margin must be less than 1, got 2; for 2 % write 0.02"),
        ({"gates": [{"name": "baseline", "margin": 1}]}, "for 1 % write 0.01"),
        ({"gates": [{"name": "forgetting", "max": 1}]}, "max must be less than 1, got 1; for 1 % write 0.01"),
        ({"gates": [{"name": "churn", "max": 5}]}, "for 5 % write 0.05"),
        ({"gates": [{"name": "ceiling", "metric": "forgetting_max", "max": 5}]}, "for 5 % write 0.05"),
        ({"gates": [{"name": "ceiling", "metric": "calibration_error", "max": 1}]}, "for 1 % write 0.01"),
        ({"gates": [{"name": "floor", "min": 80}]}, "for 80 % write 0.8"),
        ({"gates": [{"name": "rule", "relative": {"margin": 2}}]}, "margin 2 is out of range.* for 2 % write 0.02"),
        ({"gates": [{"name": "rule", "relative": {"margin": 1}}]}, "for 1 % write 0.01"),
        ({"gates": [{"name": "rule", "of": "forgetting", "max": 1}]}, "for 1 % write 0.01"),
        ({"gates": [{"name": "rule", "of": "macro_f1", "min": -80}]}, "min -80 is out of range"),
        ({"gates": ["baseline"], "evaluation": {"baselines": False}}, "set evaluation.baselines: true, or remove"),
        (
            {"gates": [{"name": "rule", "of": "over_baseline", "min": 0}], "evaluation": {"baselines": False}},
            "baselines",
        ),
        (
            {"gates": [{"name": "rule", "of": "robustness_typos", "min": 0.5}], "evaluation": {"robustness": []}},
            "add typos",
        ),
        ({"gates": [{"name": "rule", "of": "oos_auroc", "min": 0.5}]}, "set evaluation.out_of_scope"),
        ({"gates": [{"name": "rule", "of": "forgetting_avoided", "min": 0.1}]}, "set training.control"),
    ],
)
def test_what_would_silently_weaken_a_gate_is_refused(raw, reason) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse(raw, where="cl.yaml")


def test_numbers_that_are_no_shares_may_be_larger_than_one() -> None:
    gates = [
        {"name": "rule", "of": "latency_p95_ms", "max": 50, "relative": {"margin": 5}},
        {"name": "rule", "of": "brier", "max": 1.5},
        {"name": "rule", "of": "rouge_of_another_package", "min": 30},
        {"name": "ceiling", "metric": "size_mb", "max": 100},
        {"name": "ceiling", "metric": "latency_ms", "max": 5},
        {"name": "floor", "min": 0.5},
        {"name": "floor", "min": 0.8, "over": "mean"},
    ]
    assert len(parse({"gates": gates}, where="x").gates) == 7


def test_without_baselines_the_default_gates_are_those_that_can_refuse() -> None:
    names = [spec["name"] for spec in parse({"evaluation": {"baselines": False}}, where="x").gates]
    assert names == ["no_regression", "forgetting"]
    assert parse(parse({"evaluation": {"baselines": False}}, where="x").model_dump(by_alias=True), where="x")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("chars >", "on.query: condition 'chars >': cannot be read; write comparisons"),
        ("charz > 3", "orders 'charz', which is text, by the number 3; quote it, or use a column of numbers: .*chars"),
        ("channel == 'app'", "stored rows have no column 'channel'"),
        ("chars > 'x'", "compares 'chars', a number, with 'x'"),
        ("len(text) > 3", r"'len\(text\)' is no comparison of a column"),
        ("chars > " + "9" * 900, "compares a column with a number that is too large"),
        ("chars > 1e999", "compares a column with a number that is too large"),
        ("~" * 990 + "chars", "cannot be read"),
        ("chars > 3 and " * 500 + "chars > 3", "cannot be read"),
        ("", "condition '': cannot be read"),
    ],
)
def test_a_broken_query_of_a_gate_is_named_and_quoted_in_bounds(tmp_path, query, reason) -> None:
    gates = [{"name": "rule", "min": 0.5, "on": {"query": query}}]
    with pytest.raises(ConfigError, match=rf"gates(\.0)?: .*rule.*{reason}") as refused:
        load(written(tmp_path, json.dumps({"gates": gates})))
    assert len(str(refused.value)) < 700 and "each_experience" not in str(refused.value)
