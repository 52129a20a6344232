from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from cl.config.row_filter import columns_in, select_rows
from cl.errors import InputError

ROWS = pd.DataFrame(
    {
        "id": ["1", "2", "3", "4"],
        "label": ["fee", "loan", None, "fee"],
        "date": ["2026-01-02", "2026-03-01", None, "2025-12-31"],
        "tokens": [["a", "b"], ["c"], np.array(["d"]), ["a", "b"]],
    }
)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("id == '1'", "1"),
        ("id == 2", "2"),
        ("id != '1'", "234"),
        ("id in ['1', 4, 'x']", "14"),
        ("id not in ('1',)", "234"),
        ("label == 'fee' and date < '2026-01-01'", "4"),
        ("label == 'fee' or id == '3'", "134"),
        ("not (label == 'fee')", "23"),
        ("(label == 'fee') & ~(id == '1') | (id == '2')", "24"),
        ("label == None", "3"),
        ("date >= '2026'", "12"),
        ("tokens == 'a b'", "14"),
        ("id == ''", ""),
        ("'1' == id == '1'", "1"),
        ("'2026' <= date", "12"),
        ("label == ''", "3"),
        ("label != 'fee'", "23"),
    ],
)
def test_a_condition_selects_rows(condition, ids) -> None:
    assert "".join(ROWS["id"][select_rows(condition, ROWS)]) == ids


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('true')",
        "id.str.len() == 1",
        "@open('x') == id",
        "id == open('x')",
        "id == [one for one in 'ab']",
        "[id := 1]",
        "id == f'{id}'",
        "id",
        "True",
        "1 == 1",
        "id == True",
        "id < None",
        "id == '1'; id",
        "",
        "(" * 500,
    ],
)
def test_whatever_is_no_comparison_is_refused_and_never_run(condition) -> None:
    with pytest.raises(InputError, match="write comparisons of columns"):
        select_rows(condition, ROWS)


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match="no column 'lable'; there are: id, label, date, tokens"):
        select_rows("lable == 'fee'", ROWS)


def test_no_row_is_selected_from_none() -> None:
    assert not select_rows("id == '1' and not label == 'x'", ROWS.iloc[:0]).any()


TABLE = pd.DataFrame({
    "chars": [10, 100, 300, 400],
    "target": ["billing", "loan", "billing", "fee"],
    "channel": ["app", None, "mail", "app"],
})  # fmt: skip
TYPED = [{"chars"}, None]
"""Numbers by name, and as the columns' types say."""


@pytest.mark.parametrize("numbers", TYPED)
@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("chars > 90", [1, 2, 3]),
        ("50 < chars <= 300", [1, 2]),
        ("chars > 90 and target == 'billing'", [2]),
        ("not (target == 'billing' or chars > 350)", [1]),
        ("target in ['fee', 'loan']", [1, 3]),
        ("target not in ('fee', 'loan')", [0, 2]),
        ("channel == 'app'", [0, 3]),
        ("channel >= 'b'", [2]),
        ("channel < 'b'", [0, 3]),
        ("chars > -1 and channel != 'app'", [1, 2]),
        ("channel == ''", [1]),
        ("target == channel", []),
        ("chars == None", []),
    ],
)
def test_numbers_are_compared_as_numbers_and_text_as_text(condition, rows, numbers) -> None:
    assert np.flatnonzero(select_rows(condition, TABLE, numbers=numbers)).tolist() == rows


def test_the_same_condition_means_the_same_for_forgetting_and_for_gates() -> None:
    """Text that looks like a number is text: 9 comes after 10."""
    texts = pd.DataFrame({"chars": ["9", "10"]})
    assert select_rows("chars > '9'", texts).tolist() == [False, False]
    assert select_rows("chars > 9", texts.astype(int)).tolist() == [False, True]
    with pytest.raises(InputError, match="orders 'chars', which is text, by the number 9; quote it"):
        select_rows("chars > 9", texts)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("target > 3", "'target', which is text, by the number 3; quote it"),
        ("chars == 'long'", "'chars', a number, with 'long'"),
        ("target == chars", "'target', which is text, with 'chars', a number"),
        ("target < None", "None, which has no place in an order"),
        ("chars > 1 if chars else 2", "no comparison of a column"),
        ("chars + 1 > 3", "no comparison of a column"),
        ("chars ** 9999999 > 1", "no comparison of a column"),
        ("f'{chars}' == 'x'", "no comparison of a column"),
        ("(x := 3) > chars", "no comparison of a column"),
        ("chars.__class__ == 1", "no comparison of a column"),
        ("chars[0] > 1", "no comparison of a column"),
        ("chars > 1 and target", "no comparison of a column"),
        ("not " * 240 + "a", "no comparison of a column"),
        ("@pd.io.common.os.system('true') == 0", "cannot be read"),
        ("chars >", "cannot be read"),
        ("x = 1", "cannot be read"),
        ("chars > 1 or " * 100 + "chars > 1", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(condition, says) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as error:
        columns_in(condition, numbers={"chars"})
    assert len(str(error.value)) < 500


def test_the_columns_of_a_condition_are_known_without_rows() -> None:
    assert columns_in("chars > 9 and not (target in ['a'])", numbers={"chars"}) == {"chars", "target"}


def test_a_column_that_should_hold_numbers_and_does_not_is_named() -> None:
    with pytest.raises(InputError, match="column 'chars' must hold numbers, and holds text"):
        select_rows("chars > 3", TABLE.assign(chars="x"), numbers={"chars"})
