from __future__ import annotations

import csv

import pytest

from cl.backtesting.outputs import MOST_COLUMNS, as_markdown, list_failures, matrix_rows, results_table, write_outputs
from cl.backtesting.results import summarise
from tests.support.outcomes import GOOD, POOR, ended


@pytest.fixture
def results():
    runs = [
        ended(GOOD, "joint", "joint", seed=1),
        ended(GOOD, "joint", "joint", seed=2),
        ended(GOOD, seed=1, classes={"x": 0.5}),
        ended(POOR, seed=2, classes={"x": 0.25}),
        ended(GOOD, "half", seed=1),
        ended(POOR[:1], "half", seed=2, failure="it broke"),
        ended(POOR[:1], "none", seed=1, failure="it broke"),
        ended([], "none", seed=2, failure="it broke | twice"),
    ]
    return summarise(runs, names_with_policy=False)


def test_scores_of_several_seeds_show_their_spread(results) -> None:
    joint, own, half, none = results_table(results)
    assert own[:3] == ["own", "65.0 ± 28.3", "25.0 ± 21.2"] and own[6:9] == ["12.5 ± 17.7", "x 37.5 ± 17.7", "5 ± 1"]
    assert joint[1] == "85.0 ± 0.0" and half[:2] == ["half (1 of 2 seeds)", "85.0"] and half[7] == "–"
    assert none[:2] == ["none", "stopped"] and len({len(row) for row in results_table(results)}) == 1


def test_a_seed_that_stopped_is_named_where_there_are_several(results) -> None:
    assert list_failures(results) == [
        "half, seed 2, stopped: it broke",
        "none, seed 1, stopped: it broke",
        "none, seed 2, stopped: it broke | twice",
    ]
    assert list_failures(summarise([ended([], failure="it broke")], names_with_policy=False)) == [
        "own stopped: it broke"
    ]


def test_the_matrix_is_shown_while_it_can_be_read(results) -> None:
    assert matrix_rows(results[1]) == [
        ["own: learned, tested on", "1", "2"], ["1 a", "80.0", "10.0"], ["2 b", "55.0", "75.0"],
    ]  # fmt: skip
    wide = results[1].model_copy(update={"experiences": ["a"] * (MOST_COLUMNS + 1)})
    assert matrix_rows(wide) == [] == matrix_rows(results[3])


def test_files_hold_the_numbers_and_every_cell_of_the_matrices(results, tmp_path) -> None:
    write_outputs(results, tmp_path, name="test")
    with (tmp_path / "results.csv").open(newline="") as file:
        numbers = list(csv.DictReader(file))
    assert [(one["name"], one["seeds"], one["failures"]) for one in numbers] == [
        ("joint", "2", ""), ("own", "2", ""), ("half", "1", "it broke"), ("none", "0", "it broke; it broke | twice"),
    ]  # fmt: skip
    assert float(numbers[1]["acc"]) == pytest.approx(0.65) and numbers[3]["acc"] == ""
    with (tmp_path / "matrix.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert list(cells[0]) == ["strategy", "seeds", "learnt", "tested", "score"] and len(cells) == 3 * 4 + 2
    (one,) = [cell for cell in cells if (cell["strategy"], cell["learnt"], cell["tested"]) == ("own", "b", "a")]
    assert one["seeds"] == "2" and float(one["score"]) == pytest.approx(0.55)


def test_markdown_holds_table_failures_and_matrices(results) -> None:
    lines = as_markdown(results).splitlines()
    assert lines[3].startswith("| own | 65.0 ± 28.3 | 25.0 ± 21.2 |")
    assert "half, seed 2, stopped: it broke" in lines
    at = lines.index("## own")
    assert lines[at + 2 : at + 6] == [
        "| learnt | a | b |",
        "| --- | --- | --- |",
        "| a | 80.0 | 10.0 |",
        "| b | 55.0 | 75.0 |",
    ]
    assert "## none" not in lines
