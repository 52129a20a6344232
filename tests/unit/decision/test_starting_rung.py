from __future__ import annotations

import pytest

from cl.config import parse
from cl.decision.starting_rung import starting_rung
from cl.records import DriftType, LadderResult, RungResult

NAMES = ["head", "lora", "full"]
CONFIG = parse({"ladder": [{"name": name} for name in NAMES], "climb": {"memory": 3}}, where="test")


def climbed(start: str, end: str | None, *types: DriftType) -> LadderResult:
    """A climb from one rung to the one that passed; None: none did."""
    names = NAMES[NAMES.index(start) : NAMES.index(end) + 1] if end else NAMES[NAMES.index(start) :]
    return LadderResult(types=list(types), attempts=[RungResult(rung=name, passed=name == end) for name in names])


def begins(*climbs: LadderResult, wanted: str = "head", types: tuple[DriftType, ...] = ("inputs",)) -> str:
    return starting_rung(CONFIG, wanted, types, climbs).rung


def test_what_was_too_little_for_this_type_of_drift_is_passed_over_and_the_reason_says_so() -> None:
    found = starting_rung(CONFIG, "head", ["inputs"], [climbed("head", "full", "inputs")])
    assert found.rung == "full"
    assert found.reasons[0] == ("rung 'head' is skipped: refused 1 of 1 times in the last 1 similar updates")
    assert begins(climbed("head", "full", "inputs"), types=("labels",)) == "head"
    assert begins(climbed("head", "lora", "inputs", "labels"), types=("labels", "concept")) == "lora"


def test_the_first_rung_is_tried_again_once_its_refusal_lies_further_back_than_the_memory() -> None:
    climbs = [climbed("head", "lora", "inputs")]
    starts = []
    for _ in range(8):
        starts.append(begins(*climbs))
        climbs.append(climbed(starts[-1], "lora", "inputs"))
    assert starts == ["lora", "lora", "lora", "head", "lora", "lora", "lora", "head"]


def test_a_rung_that_passes_as_often_as_it_is_refused_is_begun_with() -> None:
    assert begins(climbed("head", "lora", "inputs"), climbed("head", "head", "inputs")) == "head"


def test_a_climb_that_no_rung_ended_says_nothing_about_the_rungs() -> None:
    assert begins(climbed("head", None, "inputs")) == "head"


def test_memory_never_leads_below_the_rung_that_the_drift_asks_for() -> None:
    assert begins(climbed("head", "head", "inputs"), wanted="lora") == "lora"


@pytest.mark.parametrize("memory", [0, 3])
def test_without_a_memory_an_update_begins_where_the_drift_says(memory) -> None:
    config = parse({"ladder": [{"name": name} for name in NAMES], "climb": {"memory": memory}}, where="test")
    climbs = [climbed("head", "lora")]
    assert starting_rung(config, "head", [], climbs).rung == ("lora" if memory else "head")
