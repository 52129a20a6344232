from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from cl.errors import ConfigError
from cl.gating.slices import Slice, slice_columns, slice_groups

TABLE = pd.DataFrame({
    "experience": ["a", "a", "b", "b"], "target": ["x", "y", "x", "x"],
    "chars": [10, 49, 50, 500], "channel": ["app", None, "mail", "app"],
})  # fmt: skip


def rows_of(on) -> dict[str, list[int]]:
    return {name: rows.index.tolist() for name, rows in slice_groups(on, TABLE).items()}


@pytest.mark.parametrize(
    ("on", "groups"),
    [
        ("all", {"all": [0, 1, 2, 3]}),
        ("each_experience", {"a": [0, 1], "b": [2, 3]}),
        ("each_class", {"x": [0, 2, 3], "y": [1]}),
        (Slice(column="channel"), {"app": [0, 3], "mail": [2]}),
        (Slice(length=[50]), {"0 to 49 characters": [0, 1], "50 characters and more": [2, 3]}),
        (Slice(length=[5, 20]), {"5 to 19 characters": [0], "20 characters and more": [1, 2, 3]}),
        (Slice(query="chars > 900"), {"chars > 900": []}),
        (Slice(function="tests.unit.gating.test_gate_rows:short"), {"tests.unit.gating.test_gate_rows:short": [0, 1]}),
        (Slice(function="tests.unit.gating.test_gate_rows:quarters"), {"first": [0], "second": [1, 2]}),
    ],
)
def test_rows_are_cut_into_groups(on, groups) -> None:
    assert rows_of(on) == groups


def short(rows: pd.DataFrame) -> pd.Series:
    return rows["chars"] < 50


def quarters(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(["first", "second", "second", None])


def greedy(rows: pd.DataFrame) -> pd.Series:
    return rows["nonsense"]


def lazy(rows: pd.DataFrame) -> str:
    return "all of them"


@pytest.mark.parametrize(
    ("function", "told"),
    [("greedy", "KeyError"), ("lazy", "must return a pandas Series"), ("nobody", "AttributeError")],
)
def test_a_function_that_fails_is_named(function, told) -> None:
    with pytest.raises(ConfigError, match=rf"{function}.*{told}"):
        slice_groups(Slice(function=f"tests.unit.gating.test_gate_rows:{function}"), TABLE)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "needs one of column, length, query, function; has none"),
        ({"column": "channel", "query": "chars > 1"}, "has column, query"),
        ({"length": [200, 50]}, "must ascend"),
        ({"length": []}, "must ascend"),
        ({"query": "chars >"}, "cannot be read"),
        ({"function": "os.system"}, "must be module:function"),
        ({"function": "../os:system"}, "must be module:function"),
    ],
)
def test_a_wrong_slice_is_told_when_it_is_read(fields, told) -> None:
    with pytest.raises(ValidationError, match=told):
        Slice(**fields)


def test_it_says_which_columns_it_reads() -> None:
    assert slice_columns(Slice(query="chars > 3 and channel == 'app'")) == {"chars", "channel"}
    assert slice_columns("each_class") == {"target"} and slice_columns("all") == set()
