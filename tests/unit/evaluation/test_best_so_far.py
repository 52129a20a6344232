from __future__ import annotations

import pandas as pd

from cl.evaluation.best_so_far import add_best, best_rows, carry_over, load_best, save_best

TABLE = pd.DataFrame({
    "experience": ["a", "a", "b", "b"],
    "id": ["1", "2", "1", "3"],
    "challenger_score": [1.0, 0.0, 1.0, 1.0],
    "champion_score": [0.0, 0.0, 1.0, 0.0],
})  # fmt: skip


def test_an_older_version_stands_for_the_experience_it_was_better_on(tmp_path) -> None:
    earlier = pd.DataFrame(
        {"experience": ["a", "a", "b", "b"], "id": ["2", "1", "1", "3"], "score": [1.0, 1.0, 0.0, 0.0]}
    )
    save_best(earlier, tmp_path)
    assert add_best(TABLE, load_best(tmp_path))["best_score"].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_without_an_older_version_the_champion_is_the_best_so_far(tmp_path) -> None:
    assert load_best(tmp_path) is None
    assert add_best(TABLE, None)["best_score"].tolist() == TABLE["champion_score"].tolist()


def test_a_first_version_has_no_best_before_it() -> None:
    first = TABLE.drop(columns="champion_score")
    assert "best_score" not in add_best(first, None)
    assert best_rows(first)["score"].tolist() == [1.0, 0.0, 1.0, 1.0]


def test_the_next_version_carries_the_better_of_challenger_and_best() -> None:
    carried = best_rows(TABLE.assign(best_score=[1.0, 1.0, 0.0, 1.0]))
    assert carried["score"].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert list(carried.columns) == ["experience", "id", "score"]


def test_small_losses_do_not_add_up_unseen() -> None:
    """Each version loses one row of ten more than the one before; the best version's rows are carried along."""
    earlier = None
    for lost in range(4):
        now = [0.0] * lost + [1.0] * (10 - lost)
        before = [0.0] * max(0, lost - 1) + [1.0] * (10 - max(0, lost - 1))
        table = pd.DataFrame({
            "experience": "a", "id": [str(at) for at in range(10)], "challenger_score": now, "champion_score": before,
        })  # fmt: skip
        table = add_best(table, earlier)
        assert table["best_score"].tolist() == [1.0] * 10
        earlier = best_rows(table)


def test_an_experience_that_is_not_tested_this_time_keeps_its_best_rows() -> None:
    earlier = pd.DataFrame({"experience": ["a", "a", "b"], "id": ["1", "2", "3"], "score": [1.0, 0.0, 1.0]})
    best = pd.DataFrame({"experience": ["b", "c"], "id": ["3", "4"], "score": [0.5, 1.0]})
    kept = carry_over(best, earlier)
    assert dict(zip(kept["id"], kept["score"], strict=True)) == {"1": 1.0, "2": 0.0, "3": 0.5, "4": 1.0}
    assert carry_over(best, None) is best
