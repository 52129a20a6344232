"""Forgetting has one sign wherever it is shown: a number is a loss, and a gain is called one; heads carry the unit."""

from __future__ import annotations

import re

import pytest

from cl.backtesting.outputs import TITLES
from cl.commands.tune import HEADER as TRIALS
from cl.records import Score
from cl.reports.html import cycles_table
from cl.reports.measurements import format_forgotten
from cl.reports.plots import bars
from cl.reports.terminal.cycles import HEADER, cycle_line
from tests.support.cycles import made_cycle
from tests.support.repository import ROOT
from tests.unit.reports.terminal.test_cycles import evaluated

SHOWN = [(0.132, "13.2"), (-0.132, "gain 13.2"), (0.0, "0.0"), (-0.0001, "0.0")]


def cycle_that_forgets(share: float):
    scored = evaluated(0.8, {}).model_copy(
        update={
            "forgetting": {"0001-one": share},
            "challenger": [Score(experience="0001-one", rows=40, value=0.8)],
        }
    )
    return made_cycle(evaluation=scored)


@pytest.mark.parametrize(("share", "text"), SHOWN)
def test_a_loss_is_a_number_and_a_gain_is_called_one(share, text) -> None:
    cycle = cycle_that_forgets(share)
    assert format_forgotten(cycle.evaluation) == text
    start = HEADER.index("forgotten pt")
    assert cycle_line(cycle)[start : start + len("forgotten pt")].strip() == text
    assert f"<td>{text}</td>" in cycles_table([cycle]) and "forgotten (points)" in cycles_table([cycle])
    assert f">{text}</text>" in bars({"0001-one": share})


def test_no_page_shows_forgetting_as_a_negative_loss() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("cl/**/*.html")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"[-−]\d+(\.\d+)? ?pt\b", text), page


def test_the_heads_of_tables_carry_the_unit() -> None:
    for head in ("forgotten pt", "seconds"):
        assert head in HEADER
    assert "score %" in TRIALS
    named = ("ACC %", "forgotten pt", "worst pt", "BWT pt", "FWT pt", "intransigence pt", "weakest class %", "peak MB")
    assert set(named) <= set(TITLES)
