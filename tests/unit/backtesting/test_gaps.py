from __future__ import annotations

import pytest

from cl.backtesting.outputs import matrix_rows, results_table, write_outputs
from cl.backtesting.results import summarise
from tests.support.outcomes import ended

GAPS = [[0.9, None], [0.8, None]]


@pytest.mark.parametrize("matrix", [GAPS, [[None, None], [None, None]]])
def test_a_month_that_decides_nothing_is_a_gap_in_every_output(matrix, tmp_path) -> None:
    results = summarise([ended(matrix)], names_with_policy=False)
    (result,) = results
    acc = matrix[1][0]
    assert result.acc == acc and result.matrix == matrix and result.accuracy_over_time[-1] == acc
    assert result.forgetting == (None if acc is None else pytest.approx(0.1))
    page = write_outputs(results, tmp_path, name="shop")
    assert page.exists() and "–" in (tmp_path / "report.md").read_text()
    assert "–" in matrix_rows(result)[1] and results_table(results)[0][1] == ("–" if acc is None else "80.0")
