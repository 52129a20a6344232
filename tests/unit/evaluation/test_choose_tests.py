"""The test rows of an evaluation: bounded, the same from update to update, and every experience in its turn."""

from __future__ import annotations

import pandas as pd

from cl.evaluation.choose_tests import FEWEST, choose_tests
from cl.records.past_scores import PastScores


def rows_of(sizes: dict[str, int]):
    def read(ids: list[str], split: str) -> pd.DataFrame:
        assert split == "test"
        return pd.concat([pd.DataFrame({"id": [f"{id}-{row}" for row in range(sizes[id])]}) for id in ids])

    return read


def scored(*ids: str) -> PastScores:
    """Return what was tested before: each id in an update of its own, and never again."""
    past = PastScores()
    for id in ids:
        past = past.after(id, {id: 0.5})
    return past


def test_all_rows_are_tested_as_long_as_they_are_few() -> None:
    sizes = {"a": 300, "b": 20, "c": 50}
    chosen = choose_tests(list(sizes), rows_of(sizes), scored("a", "b"), most=400)
    assert {id: len(rows) for id, rows in chosen.rows.items()} == sizes and not chosen.later


def test_without_a_limit_everything_is_tested() -> None:
    sizes = {"a": 3_000, "b": 5_000}
    chosen = choose_tests(list(sizes), rows_of(sizes), PastScores(), most=None)
    assert {id: len(rows) for id, rows in chosen.rows.items()} == sizes


def test_the_new_experience_gets_half_and_the_past_shares_the_rest() -> None:
    sizes = {"a": 5_000, "b": 120, "c": 5_000}
    chosen = choose_tests(list(sizes), rows_of(sizes), scored("a", "b"), most=1_000)
    assert {id: len(rows) for id, rows in chosen.rows.items()} == {"a": 380, "b": 120, "c": 500}


def test_a_smaller_share_is_a_part_of_a_larger_one() -> None:
    sizes = {"a": 5_000, "b": 5_000}
    larger = choose_tests(["a"], rows_of(sizes), PastScores(), most=1_000).rows["a"]
    smaller = choose_tests(["a", "b"], rows_of(sizes), scored("a"), most=1_000).rows["a"]
    assert len(larger) == 1_000 and len(smaller) == 500 and set(smaller["id"]) < set(larger["id"])


def test_where_they_are_too_many_past_experiences_take_turns() -> None:
    ids = [f"{number:02d}" for number in range(30)]
    read, past, most = rows_of(dict.fromkeys(ids, 500)), scored(*ids[:-1]), 1_000
    seen = list[str]()
    for _ in range(6):
        chosen = choose_tests(ids, read, past, most)
        assert sum(map(len, chosen.rows.values())) <= most
        assert all(len(rows) >= FEWEST for rows in chosen.rows.values())
        assert sorted([*chosen.rows, *chosen.later]) == ids
        past = past.after(ids[-1], dict.fromkeys(chosen.rows, 0.5))
        past = past.model_copy(update={"newest": ""})  # the next one is another update
        seen += [id for id in chosen.rows if id != ids[-1]]
    assert set(seen) == set(ids[:-1]), "each had its turn"


def test_rows_are_the_same_where_their_number_is_known_and_all_are_read_at_once() -> None:
    sizes = {f"{number:02d}": 10 + 7 * number for number in range(30)} | {"large": 2_000}
    calls = list[list[str]]()

    def read(ids: list[str], split: str) -> pd.DataFrame:
        calls.append(ids)
        return rows_of(sizes)(ids, split)

    past = scored(*list(sizes)[:-2])
    one_by_one = choose_tests(list(sizes), rows_of(sizes), past, most=3_000)
    at_once = choose_tests(list(sizes), read, past, most=3_000, sizes=sizes)
    assert list(at_once.rows) == list(one_by_one.rows) and at_once.later == one_by_one.later
    for id, rows in one_by_one.rows.items():
        pd.testing.assert_frame_equal(at_once.rows[id], rows)
    assert len(calls) == 2, "the small ones, and the large one"


def test_a_record_that_counts_rows_wrongly_changes_nothing() -> None:
    sizes = {"a": 20, "b": 30}
    chosen = choose_tests(["a", "b"], rows_of(sizes), PastScores(), most=100, sizes={"a": 21, "b": 30})
    assert {id: len(rows) for id, rows in chosen.rows.items()} == sizes
