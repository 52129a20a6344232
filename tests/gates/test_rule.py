from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl import plugins
from cl.config import parse
from cl.errors import ConfigError
from cl.gate import judged
from cl.gates.rule import Rule


def table(now: list[float], before: list[float] | None = None, **columns: object) -> pd.DataFrame:
    """Stored rows as an evaluation writes them."""
    rows = pd.DataFrame({"experience": "a", "id": [str(at) for at in range(len(now))], "challenger_score": now})
    if before is not None:
        rows["champion_score"] = before
    return rows.assign(**columns)


def rule(**fields: object) -> Rule:
    return plugins.build("gates", {"name": "rule", **fields})


def test_a_bound_refuses_only_what_rows_show_to_be_beyond_it(evaluation) -> None:
    poor, few = table([1.0] * 50 + [0.0] * 50), table([1.0] * 2 + [0.0] * 2)
    refused = rule(min=0.7).judge(evaluation({"a": 0.5}), poor, seed=1)
    assert not refused.passed and not refused.undecided and refused.measured == pytest.approx(0.5)
    unsure = rule(min=0.7).judge(evaluation({"a": 0.5}), few, seed=1)
    assert unsure.passed and unsure.undecided and unsure.rows_needed is not None and unsure.rows_needed > 4
    assert rule(min=0.5).judge(evaluation({"a": 0.5}), poor, seed=1).passed


def test_the_worst_class_counts_though_the_mean_gains(evaluation) -> None:
    before = [1.0] * 40 + [0.0] * 100
    now = [0.0] * 40 + [1.0] * 100
    rows = table(now, before, target=["fee"] * 40 + ["loan"] * 100)
    assert rule(relative={"margin": 0.05}).judge(evaluation({"a": 0.7}), rows, seed=1).passed
    verdict = rule(over="class", relative={"margin": 0.05}).judge(evaluation({"a": 0.7}), rows, seed=1)
    assert not verdict.passed and "on fee" in verdict.why and verdict.measured == pytest.approx(-1.0)
    assert {one.group: one.verdict for one in verdict.groups} == {"fee": "fail", "loan": "pass"}


@pytest.mark.parametrize(
    ("on", "group"),
    [
        ({"column": "channel"}, "mail"),
        ({"length": [20, 200]}, "21 to 200 characters"),
        ({"query": "chars > 20 and chars <= 200 and not (channel == 'chat')"}, "chars > 20"),
        ({"function": "tests.gates.groups:by_channel"}, "mail"),
        ("each", "b"),
    ],
)
def test_a_slice_that_lost_is_found_by_any_way_to_name_it(evaluation, on, group) -> None:
    lost = {"chars": 100, "channel": "mail", "experience": "b"}
    kept = {"chars": 10, "channel": "chat", "experience": "a"}
    rows = pd.concat(
        [table([0.0] * 40, [1.0] * 40).assign(**lost), table([1.0] * 60, [1.0] * 60).assign(**kept)], ignore_index=True
    )
    verdict = rule(over=on, relative={"margin": 0.05}).judge(evaluation({"a": 0.6}), rows, seed=1)
    assert not verdict.passed and f"on {group}" in verdict.why


def test_an_empty_slice_and_a_number_that_was_not_measured_are_undecided(evaluation) -> None:
    rows = table([1.0] * 4, [1.0] * 4, chars=5)
    empty = rule(over={"query": "chars > 100"}, min=0.9).judge(evaluation({"a": 1.0}), rows, seed=1)
    assert empty.undecided and "no row" in empty.why
    missing = rule(of="oos_auroc", min=0.9).judge(evaluation({"a": 1.0}), rows, seed=1)
    assert missing.undecided and "oos_auroc was not measured" in missing.why


def test_a_measured_number_is_bounded_and_compared(evaluation) -> None:
    seen = evaluation({"a": 1.0}, numbers={"latency_p95_ms": 60.0}, champion_numbers={"latency_p95_ms": 40.0})
    assert not rule(of="latency_p95_ms", max=50).judge(seen, pd.DataFrame(), seed=1).passed
    assert rule(of="latency_p95_ms", max=70).judge(seen, pd.DataFrame(), seed=1).passed
    slower = rule(of="latency_p95_ms", relative={"margin": 10}).judge(seen, pd.DataFrame(), seed=1)
    assert not slower.passed and "the champion has 40" in slower.why
    assert rule(of="latency_p95_ms", relative={"margin": 25}).judge(seen, pd.DataFrame(), seed=1).passed


def test_brier_is_better_when_it_is_lower(evaluation) -> None:
    rows = table([1.0] * 50, [1.0] * 50, challenger_brier=0.5, champion_brier=0.1)
    assert not rule(of="brier", relative={"margin": 0.1}).judge(evaluation({"a": 1.0}), rows, seed=1).passed
    turned = rows.rename(columns={"challenger_brier": "champion_brier", "champion_brier": "challenger_brier"})
    assert rule(of="brier", relative={"margin": 0.1}).judge(evaluation({"a": 1.0}), turned, seed=1).passed


def test_a_score_that_falls_again_and_again_is_a_trend(evaluation) -> None:
    falling = evaluation({"c": 0.7}, matrix={"a": {"a": 0.9}, "b": {"a": 0.88, "b": 0.9}, "c": {"a": 0.86, "b": 0.9}})
    verdict = rule(over="each", falls=2).judge(falling, table([1.0]), seed=1)
    assert not verdict.passed and "a scored 0.900, 0.880, 0.860" in verdict.why
    held = evaluation({"c": 0.7}, matrix={"a": {"a": 0.9}, "b": {"a": 0.86}, "c": {"a": 0.86}})
    assert rule(falls=2).judge(held, table([1.0]), seed=1).passed


def test_entity_types_are_judged_by_their_f1(evaluation) -> None:
    seen = evaluation(
        {"a": 0.7}, metric="f1", per_class={"person": {"f1": 0.5}, "place": {"f1": 0.9}},
        champion_per_class={"person": {"f1": 0.8}, "place": {"f1": 0.9}},
    )  # fmt: skip
    verdict = rule(over="class", relative={"margin": 0.1}).judge(seen, table([1.0], target="x"), seed=1)
    assert not verdict.passed and "on person F1 is 0.500" in verdict.why


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "asks for nothing"),
        ({"min": 0.9, "max": 0.1}, "min 0.9 is above max 0.1"),
        ({"min": 0.5, "over": {"query": "__import__('os')"}}, "nothing else is read"),
        ({"min": 0.5, "over": {"query": "chars.max() > 1"}}, "nothing else is read"),
        ({"min": 0.5, "over": {"query": "@x > 1"}}, "cannot be read"),
        ({"min": 0.5, "over": {"query": "chars"}}, "compares nothing"),
        ({"min": 0.5, "over": {"column": "a", "query": "b > 1"}}, "takes one of"),
        ({"min": 0.5, "over": {"length": [200, 50]}}, "lengths that rise"),
        ({"min": 0.5, "over": {"function": "os.system"}}, "module:function"),
        ({"of": "size_mb", "max": 5, "over": "class"}, "size_mb is one number"),
        ({"of": "size_mb", "falls": 2}, "falls: is of score"),
    ],
)
def test_nonsense_is_refused_when_the_configuration_is_read(fields, told) -> None:
    with pytest.raises(ConfigError, match="gates") as error:
        parse({"gates": [{"name": "rule", **fields}]}, where="cl.yaml")
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_name_is_told_with_the_nearest_right_one(evaluation) -> None:
    with pytest.raises(ConfigError, match="no number 'latency_p59_ms'; did you mean 'latency_p95_ms'"):
        rule(of="latency_p59_ms", max=5).judge(evaluation({"a": 1.0}), pd.DataFrame(), seed=1)
    with pytest.raises(ConfigError, match="column 'chanel' is not stored; there are: experience"):
        rule(over={"column": "chanel"}, min=0.5).judge(evaluation({"a": 1.0}), table([1.0]), seed=1)


def test_all_gates_together_refuse_an_equal_challenger_no_more_often_than_one_level_says(evaluation) -> None:
    config = parse(
        {
            "gates": [
                {"name": "rule", "relative": {"confidence": 0.9}},
                {"name": "rule", "over": "class", "relative": {"confidence": 0.9}},
                {"name": "rule", "over": {"length": [50]}, "relative": {"confidence": 0.9}},
                {"name": "no_regression", "margin": 0.0, "confidence": 0.9},
            ]
        },
        where="test",
    )
    rng, refused, rounds = np.random.default_rng(3), 0, 200
    for _ in range(rounds):
        now, before = (rng.random((2, 120)) < 0.8).astype(float)
        rows = table(now.tolist(), before.tolist(), target=list("abcd") * 30, chars=rng.integers(1, 100, 120))
        refused += not judged(config, evaluation({"a": 0.8}), rows).passed
    assert refused <= 0.1 * rounds + 2 * np.sqrt(0.1 * 0.9 * rounds)
