from __future__ import annotations

import pytest

from cl.config import Config, parse
from cl.decide import decide
from cl.records import Drift, Finding, Validation

FIT, BROKEN = Validation(passed=True), Validation(passed=False, problems=["41 % of the rows are broken"])
MMD_ALARM = Finding(detector="embedding_mmd", kind="inputs", drifted=True, p_value=0.001, summary="MMD² 0.02")
MMD_QUIET = Finding(detector="embedding_mmd", kind="inputs", drifted=False, p_value=0.41, summary="MMD² 0.00")
NEW_ALARM = Finding(detector="new_labels", kind="new_labels", drifted=True, summary="9 rows: warranty (9)")
NEW_FEW = Finding(detector="new_labels", kind="new_labels", drifted=False, summary="1 row: laon (1); fewer than 3")

QUIET = Drift(experience="2", drifted=False, findings=[MMD_QUIET])
LOUD = Drift(experience="2", drifted=True, findings=[MMD_ALARM, NEW_ALARM], new_labels=["warranty"])
FIRST = Drift(experience="1", drifted=False, new_labels=["fee", "loan"])


def config(**bounds: int) -> Config:
    return parse({"decide": {"min_rows": 20, **bounds}}, where="test")


@pytest.mark.parametrize(
    ("bounds", "validation", "drift", "waiting", "first", "action", "reasons"),
    [
        ({}, BROKEN, LOUD, 500, False, "hold", ["41 % of the rows are broken"]),
        ({}, BROKEN, FIRST, 500, True, "hold", ["41 % of the rows are broken"]),
        ({}, Validation(passed=False), QUIET, 500, False, "hold", ["the batch did not pass validation"]),
        ({}, FIT, FIRST, 500, True, "learn", ["no champion yet: this is the first model"]),
        ({}, FIT, FIRST, 3, True, "learn", ["no champion yet: this is the first model"]),
        ({}, FIT, LOUD, 20, False, "learn", ["embedding_mmd: MMD² 0.02", "new_labels: 9 rows: warranty (9)"]),
        (
            {},
            FIT,
            LOUD,
            19,
            False,
            "hold",
            [
                "19 training rows wait, decide.min_rows is 20: too few to learn from",
                "embedding_mmd: MMD² 0.02",
                "new_labels: 9 rows: warranty (9)",
            ],
        ),
        (
            {},
            FIT,
            QUIET,
            10_000,
            False,
            "none",
            ["nothing has changed that matters: embedding_mmd (p = 0.41)"],
        ),
        (
            {"max_waiting_rows": 600},
            FIT,
            QUIET,
            600,
            False,
            "learn",
            ["600 training rows wait, decide.max_waiting_rows is 600"],
        ),
        (
            {"max_waiting_rows": 600},
            FIT,
            QUIET,
            599,
            False,
            "none",
            ["nothing has changed that matters: embedding_mmd (p = 0.41)"],
        ),
        (
            {},
            FIT,
            Drift(experience="2", drifted=False),
            99,
            False,
            "none",
            ["nothing has changed that matters: no detector is configured"],
        ),
    ],
)
def test_every_situation_has_one_decision(bounds, validation, drift, waiting, first, action, reasons) -> None:
    decision = decide(config(**bounds), validation, drift, waiting_rows=waiting, first=first)
    assert decision.action == action
    assert decision.reasons == reasons


def test_new_labels_are_named_even_when_another_detector_raised_the_alarm() -> None:
    drift = Drift(experience="2", drifted=True, findings=[MMD_ALARM, NEW_FEW], new_labels=["laon"])
    reasons = decide(config(), FIT, drift, waiting_rows=99, first=False).reasons
    assert reasons == ["embedding_mmd: MMD² 0.02", "labels never learnt: laon"]


def test_a_new_label_with_too_few_rows_is_told_when_nothing_is_done() -> None:
    drift = Drift(experience="2", drifted=False, findings=[NEW_FEW], new_labels=["laon"])
    decision = decide(config(), FIT, drift, waiting_rows=99, first=False)
    assert decision.action == "none"
    assert "laon (1)" in decision.reasons[0]
