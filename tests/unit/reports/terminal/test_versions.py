"""`cl diff` on the terminal: bounded, however old the project is."""

from __future__ import annotations

from cl.reports.terminal.versions import EXPERIENCES, diff_lines


def test_of_many_experiences_that_are_left_out_the_first_are_named() -> None:
    left_out = [{"version": "9", "experience": f"{number:04}-month", "rows": 2} for number in range(1, EXPERIENCES + 5)]
    output = {
        "from": "1", "to": "9", "score": "row score", "experiences": [], "classes": [], "left_out": left_out,
        "note": None, "config": {}, "data": {"version": ["a", "b"], "added": [], "removed": []}, "labels": {},
        "size_mb": [None, None], "packages": {}, "git_commit": ["a", "a"],
    }  # fmt: skip
    lines = [line for line in diff_lines(output) if line.startswith("left out")]
    assert len(lines) == EXPERIENCES + 1
    assert lines[0] == "left out: 2 rows of 0001-month, on which only version 9 was tested"
    assert lines[-1] == "left out: 8 rows of 4 more experiences; --json lists all"
