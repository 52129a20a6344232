from __future__ import annotations

from typing import Any

from cl.records import GateReport, Part, Regression, Verdict
from cl.reports.terminal.gates import GROUPS, gate_lines, replay_lines


def found(parts: list[Part], **changes: object) -> dict[str, Any]:
    verdict = Verdict(gate="rule score on each_class", passed=False, why="fee fell", on="each_class", parts=parts)
    report = GateReport(passed=False, verdicts=[verdict])
    about = {
        "experience": "0002-two",
        "version": "2",
        "verdict": "refused",
        "measured": [],
        "control": None,
        "lost": [],
    }
    return {**about, **report.model_dump(mode="json"), "table": report.table, **changes}


def part(group: str, word: str = "fail", **changes: object) -> Part:
    fields: dict[str, Any] = {
        "measured": -0.31,
        "bound": -0.02,
        "p_value": 0.004,
        "rows": 40,
        "why": "it is",
        **changes,
    }
    return Part(group=group, verdict=word, **fields)


def test_the_groups_that_did_not_pass_are_listed_with_what_was_found() -> None:
    parts = [part("fee"), part("loan", "undecided", p_value=0.03, rows_needed=90), part("box", "pass")]
    lines = gate_lines(found(parts))
    assert "rule score on each_class: 2 of 3 groups did not pass" in lines
    (fee,) = [line for line in lines if line.startswith("  fail")]
    assert fee.split() == ["fail", "fee", "40", "-0.310", "-0.020", "p", "=", "0.004"]
    assert [line.split()[-1] for line in lines if line.startswith("  undecided")] == ["90"]
    assert not any("box" in line for line in lines)


def test_many_groups_are_cut_and_counted() -> None:
    lines = gate_lines(found([part(f"class {number}") for number in range(GROUPS + 7)]))
    assert "  and 7 more; --json lists all" in lines and sum(line.startswith("  fail") for line in lines) == GROUPS


def test_a_lost_row_has_both_answers_and_nothing_that_moves_the_cursor() -> None:
    row = Regression(
        experience="0001-one", id="r7", target="fee", champion="fee", champion_confidence=0.91,
        challenger="loan", challenger_confidence=0.876, text="my \x1b[2Jfee\nplease",
    )  # fmt: skip
    lines = gate_lines(found([], lost=[row.model_dump(mode="json")]))
    assert lines[-1] == "  0001-one r7: fee; was fee (91%), now loan (88%): my  [2Jfee please"


def test_a_replay_tells_what_could_not_be_judged() -> None:
    one = {"experience": "0001-one", "version": "1", "then": True, "now": True, "refused_by": []}
    lines = replay_lines([{**one, "undecided": ["rule score on each channel: not measured: no column 'channel'"]}])
    assert lines[1].endswith(
        "pass     pass     undecided: rule score on each channel: not measured: no column 'channel'"
    )
