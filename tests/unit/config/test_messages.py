from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from cl.config import load, parse
from cl.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cl.yaml"
    path.write_text(text)
    return path


HUGE = {
    "text": "x" * 100_000,
    "number": 10**5_000,
    "negative": -(10**5_000),
    "list": ["x"] * 5_000,
    "key": {"x" * 1_000: 1},
    "bytes": b"x" * 9_999,
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize(
    "key", ["name", "seed", "training", "gates", "strategy", "data.keep", "tune.space", "drift.alpha"]
)
def test_a_huge_value_is_not_repeated_in_the_message(key, value) -> None:
    section, _, field = key.partition(".")
    with pytest.raises(ConfigError) as refused:
        parse({section: {field: value} if field else value}, where="x")
    assert len(str(refused.value)) < 2_000


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"tune": {"space": {"training.epochs": {"low": 5, "high": 3}}}},
            "training.epochs: low must be less than high",
        ),
        ({"tune": {"space": {"training.epochs": {"lo": 5, "high": 7}}}}, "training.epochs.lo is not .* mean 'low'"),
        ({"tune": {"space": {"training.epochs": [1, {}]}}}, r"training.epochs.1 must be .* got a mapping"),
        ({"strategy": ["replay", 5]}, r"strategy\.1 must be .* got 5"),
        ({"distil": {"student": {"layers": [0, -1]}}}, r"distil\.student\.layers\.1 must be at least 0, got -1"),
        ({"ladder": [{"nme": "a"}]}, r"ladder\.0\.nme is not a known key; did you mean 'name'"),
        ({"gates": None}, "gates must be a list, got nothing; without the key, its default counts"),
        ({"model": {"name": date(2026, 1, 31)}}, "the date 2026-01-31; quote it to make it text"),
    ],
)
def test_of_several_forms_that_a_value_may_have_the_error_is_that_of_the_form_that_was_meant(raw, message) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(raw, where="x")


SECRET = "hunter2-s3cr3t"


@pytest.mark.parametrize(
    "raw",
    [
        {"serve": {"tokens": SECRET}},
        {"serve": {"tokens": [SECRET]}},
        {"serve": {"tokens": {SECRET: 1}}},
        {"serve": {"tls": {"key": [SECRET]}}},
        {"stores": {"ledger_key": SECRET}},
        {"stores": {"ledger_key": f"env:{SECRET}"}},
        {"stores": {"ledger_uri": [f"postgresql://me:{SECRET}@db/cl"]}},
        {"stores": {"ledger_uri": f"env:{SECRET}"}},
        {"stores": {"tracking_uri": {"url": SECRET}}},
        {"stores": {"artifacts": [f"s3://{SECRET}@bucket"]}},
        {"stores": {"dvc_remote": f"ssh://me:{SECRET}@host/x"}},
        {"stores": f"postgresql://me:{SECRET}@db/cl"},
        {"stores": {f"postgresql://me:{SECRET}@db/cl": None}},
        {"triggers": {"notify": {"webhook": f"https://hooks.example/{SECRET}"}}},
        {"triggers": {"notify": {"webhook": [SECRET]}}},
        {"data": {"source": {"name": "sql", "url": [f"postgresql://me:{SECRET}@db/cl"], "query": "select 1"}}},
        {"data": {"source": {"name": "sql", "url": "sqlite://", "query": [SECRET]}}},
        {"data": {"source": {"name": "sql", "url": "sqlite://", "query": "select 1", "password": SECRET}}},
        {"data": {"source": f"postgresql://me:{SECRET}@db/cl"}},
        {"task": f"http://me:{SECRET}@host/x"},
    ],
    ids=lambda raw: ".".join(map(str, raw)),
)
def test_a_wrong_value_that_may_be_a_secret_is_not_repeated(tmp_path, raw) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(raw, where="x")
    assert SECRET not in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, json.dumps(raw)))
    assert SECRET not in str(refused.value)
