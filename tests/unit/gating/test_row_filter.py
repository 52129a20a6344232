from __future__ import annotations

import pandas as pd
import pytest

from cl.errors import ConfigError
from cl.gating.query import chosen, names_in

TABLE = pd.DataFrame({
    "chars": [10, 100, 300, 400],
    "target": ["billing", "loan", "billing", "fee"],
    "channel": ["app", None, "mail", "app"],
})  # fmt: skip


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("chars > 90", [1, 2, 3]),
        ("50 < chars <= 300", [1, 2]),
        ("chars > 90 and target == 'billing'", [2]),
        ("not (target == 'billing' or chars > 350)", [1]),
        ("target in ['fee', 'loan']", [1, 3]),
        ("target not in ('fee', 'loan')", [0, 2]),
        ("channel == 'app'", [0, 3]),
        ("channel >= 'b'", [2]),
        ("chars > -1 and channel != 'app'", [1, 2]),
        ("channel == ''", [1]),
    ],
)
def test_it_chooses_rows(query, rows) -> None:
    assert chosen(TABLE, query).index.tolist() == rows


@pytest.mark.parametrize(
    "query",
    [
        "__import__('os').system('true')",
        "@pd.io.common.os.system('true') == 0",
        "target.str.len() > 3",
        "chars.__class__ == 1",
        "(lambda: 1)() == 1",
        "[one for one in target] == 1",
        "chars[0] > 1",
        "f'{chars}' == 'x'",
        "(x := 3) > chars",
        "chars > 1 if chars else 2",
        "chars + 1 > 3",
        "chars == None",
        "chars ** 9999999 > 1",
    ],
)
def test_nothing_that_could_run_code_or_burn_time_stands_in_it(query) -> None:
    with pytest.raises(ValueError, match=r"only columns, constants, comparisons|does not parse"):
        names_in(query)


@pytest.mark.parametrize(
    "query",
    ["", "chars >", "chars", "'a' == 'a'", "1", "x = 1", "(" * 5_000, "not " * 240 + "a", "chars > 1 and target"],
)
def test_what_compares_no_column_is_refused(query) -> None:
    with pytest.raises(ValueError, match="query"):
        names_in(query)


@pytest.mark.parametrize("query", ["target > 3", "chars == 'long'", "target == chars", "channel in [1, 2]"])
def test_text_and_numbers_are_told_apart_before_anything_is_trained(query) -> None:
    with pytest.raises(ValueError, match=r"which is text|a number"):
        names_in(query)


def test_what_pandas_cannot_compute_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="cannot be computed"):
        chosen(TABLE.assign(chars="x"), "chars > 3")
