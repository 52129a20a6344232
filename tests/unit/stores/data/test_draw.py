"""A bounded draw of past rows reads as few experiences as it needs."""

from __future__ import annotations

import pandas as pd
import pytest

from cl.stores.data.draw import FIRST, draw_rows


@pytest.fixture
def read() -> list[str]:
    """The experiences that were read, each as often as it was."""
    return []


@pytest.fixture
def rows_of(read):
    def rows(ids: list[str], split: str) -> pd.DataFrame:
        read.extend(ids)
        return pd.DataFrame({"id": [f"{id}-{split}-{row}" for id in ids for row in range(10)]})

    return rows


def test_few_rows_are_returned_whole_and_in_order(rows_of) -> None:
    rows = draw_rows(rows_of, ["a", "b"], ("train", "validation"), most=40, seed=1, column="split")
    assert rows["id"].tolist() == [
        f"{id}-{split}-{row}" for split in ("train", "validation") for id in "ab" for row in range(10)
    ]
    assert rows["split"].tolist() == ["train"] * 20 + ["validation"] * 20


def test_of_many_experiences_only_as_many_are_read_as_the_rows_need(rows_of, read) -> None:
    ids = [f"{number:04d}" for number in range(2_000)]
    rows = draw_rows(rows_of, ids, ("train",), most=500, seed=1)
    assert len(rows) == len(set(rows["id"])) == 500
    assert 50 <= len(set(read)) <= 80 and len(read) <= len(set(read)) + 2 * FIRST + 40


def test_the_same_seed_draws_the_same_rows_and_another_one_others(rows_of) -> None:
    ids = [f"{number:04d}" for number in range(100)]
    first, again, other = (draw_rows(rows_of, ids, ("train",), most=50, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)


def test_nothing_is_drawn_from_no_experience() -> None:
    empty = pd.DataFrame({"id": []})
    assert draw_rows(lambda ids, split: empty, [], ("train",), most=5, seed=1).empty
