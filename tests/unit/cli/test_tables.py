"""Tables on narrow terminals, and verdicts in colour."""

from __future__ import annotations

import io
import re

import pytest

from cl.cli.tables import CYCLES, DEMO, GATES, LEDGER, REPLAY, STATUS, Layout, fit_table, on_terminal

COLOURED = re.compile(r"\x1b\[(\d+)m([^\x1b]+)\x1b\[0m")
GREEN, RED, YELLOW = "32", "31", "33"
BOTH = [(GREEN, "promoted"), (RED, "refused")]
PASSED_AND_FAILED = [(GREEN, "passed"), (RED, "failed")]
HISTORY = """\
experience              rows  quarantined  drift  decision  score                        verdict   champion  seconds
0001-march               312            0  no     learn     accuracy 73.9 % of 69 test   promoted         1     25.8
0002-april-with-a-name   192           11  yes    none      accuracy 77.6 % of 192 new   refused         12      2.1
""".rstrip()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch):
    """Let standard output be a terminal of a width."""

    def make(columns: int = 80, **environment: str) -> None:
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", "COLUMNS": str(columns), **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdout", Terminal())

    return make


@pytest.mark.parametrize(
    ("width", "left"),
    [
        (200, "experience rows quarantined drift decision score verdict champion seconds"),
        (112, "experience rows quarantined drift decision score verdict champion"),
        (100, "experience rows drift decision score verdict champion"),
        (88, "experience drift decision score verdict champion"),
        (80, "experience drift score verdict champion"),
        (40, "experience score verdict champion"),
    ],
)
def test_a_narrow_terminal_leaves_out_columns_in_order(width, left) -> None:
    fitted = fit_table(HISTORY.split("\n"), CYCLES.dropped, width)
    assert fitted[0].split() == left.split() and "promoted" in fitted[1] and "refused" in fitted[2]
    assert width == 40 or max(map(len, fitted)) <= width


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_no_line_of_a_table_is_wider_than_its_terminal(terminal, width) -> None:
    terminal(width, NO_COLOR="1")
    assert max(map(len, on_terminal(HISTORY, CYCLES).split("\n"))) <= width


@pytest.mark.parametrize("forced", ["", "1"])
def test_off_a_terminal_tables_have_their_full_width(monkeypatch, forced) -> None:
    monkeypatch.setenv("FORCE_COLOR", forced)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = on_terminal(HISTORY, CYCLES)
    assert COLOURED.sub(r"\2", shown) == HISTORY and (shown != HISTORY) == bool(forced)


@pytest.mark.parametrize(
    ("layout", "text", "colours"),
    [
        (CYCLES, HISTORY, BOTH),
        (CYCLES, f"{HISTORY}\n\n0001-march: refused\n    refused by floor: 0.4 passed", [*BOTH, (RED, "refused")]),
        (CYCLES, "    rung solve: 243 rows, 1.5 s, passed", [(GREEN, "passed")]),
        (CYCLES, "    rung solve: 243 rows, 1.5 s, refused by floor: 0.4", [(RED, "refused")]),
        (STATUS, "last cycle  0006-june: refused", [(RED, "refused")]),
        (STATUS, "version  gates    aliases\n1        passed\n2        failed   champion", PASSED_AND_FAILED),
        (GATES, "0006-june: refused, version 4, gates: enforce", [(RED, "refused")]),
        (GATES, "FAIL       floor   it must pass", [(RED, "FAIL")]),
        (GATES, "pass       floor   0.9", [(GREEN, "pass")]),
        (GATES, "undecided  forgetting   few rows", [(YELLOW, "undecided")]),
        (GATES, "  0006-june FH-1: a; was pass, now FAIL: my payment failed", []),
        (REPLAY, "experience  version  then  now\n0001-march  1        pass  refused", [(GREEN, "pass"), BOTH[1]]),
        (DEMO, "0001-month-1   312   0  no  learn  accuracy 73.9 % of 69 test  0.0 pt  promoted    1", BOTH[:1]),
        (DEMO, "0006-month-6   288   0  yes learn  accuracy 74.4 % of 362 test  3.0 pt  refused    3", BOTH[1:]),
        (DEMO, "    refused by floor: 0.466 passed", BOTH[1:]),
        (LEDGER, "intact: 3 entries", [(GREEN, "intact")]),
    ],
)  # fmt: skip
def test_verdicts_are_coloured_and_nothing_else(terminal, layout: Layout, text: str, colours) -> None:
    terminal(200)
    shown = on_terminal(text, layout)
    assert COLOURED.findall(shown) == colours
    assert COLOURED.sub(r"\2", shown) == text


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown"}])
def test_who_wants_no_colour_gets_none(terminal, environment) -> None:
    terminal(80, **environment)
    shown = on_terminal(HISTORY, CYCLES)
    assert "\x1b" not in shown and "promoted" in shown and "refused" in shown


def test_a_long_reason_of_a_gate_continues_below_its_beginning(terminal) -> None:
    terminal(60, NO_COLOR="1")
    first, *rest = on_terminal(f"pass       floor   {'a reason ' * 12}".rstrip(), GATES).split("\n")
    assert rest and all(line.startswith(" " * first.index("a reason") + "a") or "reason" in line for line in rest)
    assert max(map(len, [first, *rest])) <= 60


def test_no_word_of_the_ledger_is_lost(terminal) -> None:
    terminal(60, NO_COLOR="1")
    entry = f"    1  2026-11-30 10:34:51 promote     champion   3aafc3e5  ana: {'because of it ' * 9}end"
    text = f"    #  when (UTC)          action      alias      hash      who: why\n{entry}"
    assert on_terminal(text, LEDGER).endswith("end")
