from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cl.config import Config, parse
from cl.decision.decide import decide
from cl.decision.situation import Situation, assess_situation
from cl.records import Cycle, Decision, Drift, Experience, Finding, Gain, Promotion, Training, Validation
from cl.records.history import History
from cl.statistics import alarm_bound, deflated_p, holm

FIT, BROKEN = Validation(passed=True), Validation(passed=False, problems=["41 % of the rows are broken"])
MMD_ALARM = Finding(detector="embedding_mmd", kind="inputs", drifted=True, p_value=0.001, summary="MMD² 0.02")
MMD_QUIET = Finding(detector="embedding_mmd", kind="inputs", drifted=False, p_value=0.41, summary="MMD² 0.00")
NEW_ALARM = Finding(detector="new_labels", kind="new_labels", drifted=True, summary="9 rows: warranty (9)")
NEW_FEW = Finding(detector="new_labels", kind="new_labels", drifted=False, summary="1 row: laon (1); fewer than 3")

WORSE = Finding(detector="performance", kind="performance", drifted=True, p_value=0.001, summary="90 % to 70 %")
MIX_ALARM = Finding(detector="label_mix", kind="labels", drifted=True, p_value=0.001, summary="fee 10 % to 40 %")

QUIET = Drift(experience="2", drifted=False, findings=[MMD_QUIET])
LOUD = Drift(experience="2", drifted=True, findings=[MMD_ALARM, NEW_ALARM], new_labels=["warranty"])
FIRST = Drift(experience="1", drifted=False, new_labels=["fee", "loan"])


def config(**bounds: object) -> Config:
    return parse({"strategy": "replay", "decide": {"min_rows": 20, **bounds}}, where="test")


@pytest.mark.parametrize(
    ("bounds", "validation", "drift", "waiting", "first", "action", "reasons"),
    [
        ({}, BROKEN, LOUD, 500, False, "hold", ["41 % of the rows are broken"]),
        ({}, BROKEN, FIRST, 500, True, "hold", ["41 % of the rows are broken"]),
        ({}, Validation(passed=False), QUIET, 500, False, "hold", ["the batch did not pass validation"]),
        ({}, FIT, FIRST, 500, True, "learn", ["no champion yet: this is the first model"]),
        (
            {},
            FIT,
            FIRST,
            3,
            True,
            "none",
            [
                "3 training rows are too few to learn from, decide.min_rows is 20: waiting for more",
                "no champion yet: this is the first model",
            ],
        ),
        ({}, FIT, LOUD, 20, False, "learn", ["embedding_mmd: MMD² 0.02", "new_labels: 9 rows: warranty (9)"]),
        (
            {},
            FIT,
            LOUD,
            19,
            False,
            "none",
            [
                "19 training rows are too few to learn from, decide.min_rows is 20: waiting for more",
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
            ["600 training rows are waiting, decide.max_waiting_rows is 600"],
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
    decision = decide(config(**bounds), validation, drift, Situation(waiting, first))
    assert decision.action == action
    assert decision.reasons == reasons


@pytest.mark.parametrize(
    ("bounds", "gain", "action"),
    [
        ({}, Gain(expected=0.02, low=-0.01, high=0.05, new_rows=190, past_rows=190), "learn"),
        ({}, Gain(expected=0.001, low=-0.002, high=0.004, new_rows=200, past_rows=5_000), "none"),
        ({"min_gain": 0.06}, Gain(expected=0.02, low=-0.01, high=0.05, new_rows=190, past_rows=190), "none"),
        ({"min_gain": None}, Gain(expected=0.3, low=0.2, high=0.4, new_rows=190, past_rows=190), "none"),
        ({"cool_down_hours": 9}, Gain(expected=0.02, low=-0.01, high=0.05, new_rows=190, past_rows=190), "none"),
        ({"min_rows": 100}, Gain(expected=0.02, low=-0.01, high=0.05, new_rows=190, past_rows=190), "none"),
        ({}, Gain(unknown="the past experiences have no training rows"), "none"),
    ],
)
def test_without_drift_it_learns_what_may_be_worth_it(bounds, gain, action) -> None:
    decision = decide(config(**bounds), FIT, QUIET, Situation(99, gain=gain, hours=1.0))
    assert decision.action == action
    assert gain.high is None or any("points (90 % interval" in reason for reason in decision.reasons)
    assert decision.postponed == ("cool_down_hours" in bounds or bounds.get("min_rows") == 100)


@pytest.mark.parametrize(
    ("p_values", "spread", "shown"),
    [
        ([0.0042, 0.3], 1.0, "label_mix (p = 0.0042, alarm below 0.0005), embedding_mmd (p = 0.3)"),
        ([0.0042], 1.0, "label_mix (p = 0.0042, alarm below 0.001)"),
        ([0.2, 0.3], 1.0, "label_mix (p = 0.2), embedding_mmd (p = 0.3)"),
        ([0.0042, 0.3], 2.0, "label_mix (p = 0.0042, alarm below 8.5e-07), embedding_mmd (p = 0.3)"),
    ],
)
def test_a_small_p_value_without_an_alarm_has_the_bound_of_an_alarm(p_values, spread, shown) -> None:
    findings = [
        Finding(detector=name, kind="labels", drifted=False, p_value=p_value, spread=spread, summary="")
        for name, p_value in zip(["label_mix", "embedding_mmd"], p_values, strict=False)
    ]
    quiet = Drift(experience="2", drifted=False, findings=findings, level=0.001)
    assert decide(config(), FIT, quiet, Situation(99)).reasons == [f"nothing has changed that matters: {shown}"]


def test_the_bound_of_an_alarm_is_the_one_that_holms_correction_applies() -> None:
    for spread in (1.0, 1.5, 3.0):
        bound = alarm_bound(0.01, 4, spread)
        below, above = ([deflated_p(p_value, spread), 0.5, 0.6, 0.7] for p_value in (0.99 * bound, 1.01 * bound))
        assert holm(below, 0.01)[0] and not holm(above, 0.01)[0]


def test_the_reason_of_a_gain_has_its_numbers() -> None:
    gain = Gain(expected=0.021, low=-0.0104, high=0.05, new_rows=1_190, past_rows=190)
    assert decide(config(), FIT, QUIET, Situation(99, gain=gain)).reasons == [
        "learning 1,190 rows would change the share of right answers by about +2.1 points (90 % interval -1.0 to +5.0)"
    ]


SATURATED = Gain(expected=0.002, low=0.0, high=0.005, new_high=0.006, new_rows=500, past_rows=1_800)


@pytest.mark.parametrize(
    ("findings", "gain", "bounds", "action"),
    [
        ([MMD_ALARM], SATURATED, {}, "none"),
        ([MMD_ALARM], SATURATED, {"min_gain": None}, "learn"),
        ([MMD_ALARM], SATURATED, {"min_gain": 0.001}, "learn"),
        ([MMD_ALARM], SATURATED, {"answer": {"inputs": "hold"}}, "hold"),
        ([MMD_ALARM], SATURATED.model_copy(update={"new_high": 0.2}), {}, "learn"),
        ([MMD_ALARM], Gain(unknown="the past experiences have no training rows"), {}, "learn"),
        ([MMD_ALARM, WORSE], SATURATED, {}, "learn"),
    ],
)
def test_other_texts_that_the_champion_masters_as_well_are_no_reason_to_learn(findings, gain, bounds, action) -> None:
    decision = decide(config(**bounds), FIT, drifted(*findings), Situation(99, gain=gain))
    assert decision.action == action
    if action == "none":
        assert decision.postponed and decision.reasons == [
            "an update would not help: learning 500 rows would change the share of right answers by about +0.2 points "
            "(90 % interval +0.0 to +0.5), decide.min_gain is 0.01",
            "embedding_mmd: MMD² 0.02",
        ]


def test_new_labels_are_named_even_when_another_detector_raised_the_alarm() -> None:
    drift = Drift(experience="2", drifted=True, findings=[MMD_ALARM, NEW_FEW], new_labels=["laon"])
    reasons = decide(config(), FIT, drift, Situation(99)).reasons
    assert reasons == ["embedding_mmd: MMD² 0.02", "labels never learned: laon"]


def test_a_new_label_with_too_few_rows_is_told_when_nothing_is_done() -> None:
    drift = Drift(experience="2", drifted=False, findings=[NEW_FEW], new_labels=["laon"])
    decision = decide(config(), FIT, drift, Situation(99))
    assert decision.action == "none"
    assert "laon (1)" in decision.reasons[0]


def drifted(*findings: Finding, before: float | None = None, now: float | None = None) -> Drift:
    return Drift(experience="9", drifted=True, findings=findings, promotion_score=before, champion_score=now)


TWICE = (frozenset({"embedding_mmd", "label_mix"}), frozenset({"embedding_mmd"}))


@pytest.mark.parametrize(
    ("bounds", "drift", "seen", "action", "says"),
    [
        (
            {"answer": {"inputs": "none"}},
            drifted(MMD_ALARM),
            Situation(99),
            "none",
            "drift of inputs: decide.answer says none",
        ),
        (
            {"answer": {"labels": "hold"}},
            drifted(MIX_ALARM),
            Situation(99),
            "hold",
            "drift of labels: decide.answer says hold",
        ),
        (
            {"answer": {"inputs": "none", "labels": "hold"}},
            drifted(MMD_ALARM, MIX_ALARM),
            Situation(99),
            "hold",
            "answer says",
        ),
        ({"answer": {"inputs": "none"}}, drifted(MMD_ALARM, WORSE), Situation(99), "learn", "embedding_mmd"),
        (
            {},
            drifted(MMD_ALARM),
            Situation(99, alarms=TWICE),
            "hold",
            "2 consecutive updates did not resolve embedding_mmd: manual review required",
        ),
        ({}, drifted(MIX_ALARM), Situation(99, alarms=TWICE), "learn", "label_mix"),
        ({}, drifted(MMD_ALARM), Situation(99, alarms=TWICE[:1]), "learn", "embedding_mmd"),
        ({}, drifted(MMD_ALARM, NEW_ALARM), Situation(99, alarms=TWICE), "learn", "embedding_mmd"),
        ({"max_repeats": None}, drifted(MMD_ALARM), Situation(99, alarms=TWICE * 5), "learn", "embedding_mmd"),
        ({"cool_down_hours": 24}, drifted(WORSE), Situation(99, hours=23.5), "none", "was 23.5 hours ago"),
        ({"cool_down_hours": 24}, drifted(WORSE), Situation(99, hours=24.0), "learn", "performance"),
        ({"cool_down_hours": 24}, drifted(WORSE), Situation(99), "learn", "performance"),
        ({"cool_down_hours": 9, "max_waiting_rows": 50}, QUIET, Situation(99, hours=1.0), "none", "decide.cool_down"),
        ({"min_avoidable_errors": 21}, drifted(WORSE, before=0.9, now=0.7), Situation(100), "none", "about 20 errors"),
        ({"min_avoidable_errors": 20}, drifted(WORSE, before=0.9, now=0.7), Situation(100), "learn", "performance"),
        ({"budget_hours": 2}, drifted(WORSE), Situation(99, spent=2.0), "none", "2.0 hours of training in 30 days"),
        ({"budget_hours": 2}, drifted(WORSE), Situation(99, spent=1.9), "learn", "performance"),
        (
            {"min_avoidable_errors": 1},
            drifted(MMD_ALARM, before=0.9, now=0.95),
            Situation(100),
            "none",
            "about 0 errors",
        ),
    ],
)
def test_what_drift_asks_for_depends_on_the_situation(bounds, drift, seen, action, says) -> None:
    decision = decide(config(**bounds), FIT, drift, seen)
    assert decision.action == action
    assert says in decision.reasons[0]


def cycle(
    at: int,
    *findings: Finding,
    learnt: bool = True,
    promoted: bool = True,
    rung: str | None = None,
    held: bool = False,
    postponed: bool = False,
) -> Cycle:
    experience = Experience(
        id=f"{at:04}-x", name="x", source="x", ingested_at=NOW, rows={"train": 9}, labels={}, digest=""
    )
    training = Training(
        challenger="", experiences=[experience.id], epochs=1, steps=1, rows_new=9, rows_recalled=0, seconds=360,
        validation_score=1, losses=[],
    )  # fmt: skip
    return Cycle(
        id=str(at), experience=experience, started_at=NOW + timedelta(hours=at), seconds=1800, data_version="",
        validation=FIT, drift=Drift(experience=experience.id, drifted=bool(findings), findings=findings),
        decision=Decision(
            action="learn" if learnt else "hold" if held else "none", reasons=[], rung=rung, postponed=postponed
        ),
        training=training if learnt else None,
        promotion=Promotion(version="1", promoted=promoted) if learnt else None,
    )  # fmt: skip


NOW = datetime(2024, 1, 1, tzinfo=UTC)


def assess(past: list[Cycle], *, waiting_rows: int, first: bool, now: datetime, **more) -> Situation:
    rows = {"train": waiting_rows, "test": 1}
    waiting = Experience(id="0009-x", name="x", source="x", ingested_at=NOW, rows=rows, labels={}, digest="")
    return assess_situation(
        [cycle.outline for cycle in reversed(past)], [waiting], champion=History(), first=first, now=now, **more
    )


def test_a_situation_is_read_off_the_cycles_so_far() -> None:
    past = [
        cycle(1),
        cycle(2, MMD_ALARM),
        cycle(3, learnt=False),
        cycle(4, MMD_ALARM, MIX_ALARM),
        cycle(5, MMD_ALARM, MMD_QUIET, promoted=False, rung="full"),
    ]
    seen = assess(past, waiting_rows=7, first=False, now=NOW + timedelta(hours=6))
    assert seen.alarms == (frozenset({"embedding_mmd"}), frozenset({"embedding_mmd", "label_mix"}))
    assert (seen.waiting_rows, seen.hours, seen.rungs) == (7, 1.5, ("full", None))
    assert seen.spent == pytest.approx(4 * 360 / 3_600)
    later = assess(past, waiting_rows=7, first=False, now=NOW + timedelta(hours=28), budget_days=1)
    assert later.spent == pytest.approx(2 * 360 / 3_600)
    assert assess([], waiting_rows=7, first=True, now=NOW) == Situation(7, first=True)
    resumed = cycle(1).model_copy(update={"ended_at": NOW + timedelta(hours=5)})
    assert assess([resumed], waiting_rows=7, first=False, now=NOW + timedelta(hours=6)).hours == 1.0


@pytest.mark.parametrize(
    ("past", "asked", "action"),
    [
        ([cycle(1, MMD_ALARM)], False, "learn"),
        ([cycle(1, MMD_ALARM), cycle(2, MMD_ALARM)], False, "hold"),
        ([cycle(1, MMD_ALARM), cycle(2, MMD_ALARM), cycle(3, MMD_ALARM, learnt=False, held=True)], False, "hold"),
        ([cycle(1, MMD_ALARM), cycle(2, MMD_ALARM, learnt=False), cycle(3, MMD_ALARM)], False, "hold"),
        ([cycle(1, MMD_ALARM), cycle(2, learnt=False), cycle(3, MMD_ALARM)], False, "learn"),
        ([cycle(1, MMD_ALARM), cycle(2, MMD_ALARM), cycle(3, MMD_ALARM, learnt=False, held=True)], True, "learn"),
    ],
)
def test_an_alarm_that_outlives_two_updates_stops_the_loop_until_it_is_silent_or_a_person_asks(
    past, asked, action
) -> None:
    seen = assess(past, waiting_rows=99, first=False, now=NOW + timedelta(hours=9), asked=asked)
    assert decide(config(), FIT, drifted(MMD_ALARM), seen).action == action


@pytest.mark.parametrize(
    ("bounds", "drift"),
    [
        ({"cool_down_hours": 24, "budget_hours": 1, "min_avoidable_errors": 500}, drifted(WORSE, before=0.9, now=0.8)),
        ({"answer": {"labels": "hold"}}, drifted(MIX_ALARM)),
        ({}, QUIET),
    ],
)
def test_a_persons_word_counts_for_more_than_cost_and_caution_but_not_for_a_broken_batch(bounds, drift) -> None:
    asked = Situation(99, hours=1.0, spent=2.0, asked=True)
    decision = decide(config(**bounds), FIT, drift, asked)
    assert decision.action == "learn" and decision.reasons[0] == "a person has asked for it"
    assert decide(config(**bounds), BROKEN, drift, asked).action == "hold"


def test_an_alarm_that_outlives_an_update_and_a_hold_is_learnt_one_rung_up() -> None:
    past = [cycle(1, MMD_ALARM, rung="head"), cycle(2, MMD_ALARM, learnt=False, held=True)]
    seen = assess(past, waiting_rows=99, first=False, now=NOW + timedelta(hours=9))
    assert decide(parse({"ladder": LADDER}, where="test"), FIT, drifted(MMD_ALARM), seen).rung == "lora"


@pytest.mark.parametrize("seen", [Situation(99, first=True, testable=False), Situation(99, testable=False)])
def test_where_no_row_could_test_an_update_the_batch_is_held_with_the_remedy(seen) -> None:
    decision = decide(config(), FIT, drifted(MMD_ALARM), seen)
    assert decision.action == "hold" and "mark rows as test in data.split_column" in decision.reasons[0]
    assert decide(config(min_rows=100), FIT, drifted(MMD_ALARM), seen).action == "none", "test rows may come yet"


PUT_OFF = cycle(2, MMD_ALARM, learnt=False, postponed=True)


@pytest.mark.parametrize(
    ("past", "hours", "bounds", "action", "says"),
    [
        ([PUT_OFF], 1, {}, "learn", "embedding_mmd: its alarm of 0002-x was postponed until now"),
        ([PUT_OFF], 1, {"min_rows": 100}, "none", "99 training rows are too few"),
        ([cycle(1), PUT_OFF], 30, {}, "learn", "embedding_mmd: its alarm of 0002-x was postponed until now"),
        ([cycle(1), PUT_OFF, cycle(3, learnt=False)], 30, {}, "learn", "its alarm of 0002-x was postponed"),
        ([cycle(1), PUT_OFF], 20, {}, "none", "decide.cool_down_hours is 24"),
        ([cycle(1), PUT_OFF], 30, {"budget_hours": 0.05}, "none", "decide.budget_hours is 0.05"),
        ([cycle(1), PUT_OFF, cycle(3)], 30, {}, "none", "nothing has changed"),
        ([cycle(1), PUT_OFF, cycle(3, promoted=False)], 30, {}, "none", "nothing has changed"),
        ([cycle(1), PUT_OFF, cycle(2, learnt=False, held=True)], 30, {}, "none", "nothing has changed"),
        ([cycle(1), cycle(2, MMD_ALARM, learnt=False)], 30, {}, "none", "nothing has changed"),
        ([cycle(1), cycle(2, learnt=False, postponed=True)], 30, {}, "none", "nothing has changed"),
    ],
    ids=[
        "rows enough have come",
        "the rows are still too few",
        "the bound has ended",
        "a quiet cycle came between",
        "the cool-down goes on",
        "the budget is still spent",
        "it was learnt along",
        "what was learnt was refused",
        "it was held since",
        "the answer was none",
        "there was no alarm",
    ],
)
def test_an_alarm_that_a_bound_put_off_is_learnt_by_the_first_cycle_after_it(past, hours, bounds, action, says) -> None:
    seen = assess(past, waiting_rows=99, first=False, now=NOW + timedelta(hours=hours))
    decision = decide(config(cool_down_hours=24, **bounds), FIT, QUIET, seen)
    assert decision.action == action and says in decision.reasons[0]


@pytest.mark.parametrize(
    ("bounds", "drift", "seen"),
    [
        ({}, drifted(WORSE), Situation(19)),
        ({"cool_down_hours": 24}, drifted(WORSE), Situation(99, hours=1.0)),
        ({"budget_hours": 2}, drifted(WORSE), Situation(99, spent=2.0)),
        ({"min_avoidable_errors": 50}, drifted(WORSE, before=0.9, now=0.8), Situation(99)),
    ],
)
def test_what_a_bound_holds_back_is_put_off_and_not_forgotten(bounds, drift, seen) -> None:
    assert decide(config(**bounds), FIT, drift, seen).postponed
    assert not decide(config(answer={"concept": "none"}), FIT, drift, seen).postponed


def test_an_alarm_that_was_put_off_is_learnt_at_the_rung_of_its_type() -> None:
    settings = parse({"ladder": LADDER, "decide": {"rung": {"labels": "full"}}}, where="test")
    decision = decide(settings, FIT, QUIET, Situation(99, postponed=(drifted(MIX_ALARM),)))
    assert (decision.action, decision.rung) == ("learn", "full")


LADDER = [{"name": "head", "tuning": "head"}, {"name": "lora", "tuning": "lora"}, {"name": "full"}]
STAYED = frozenset({"embedding_mmd"})


@pytest.mark.parametrize(
    ("rungs", "drift", "seen", "rung"),
    [
        ({}, drifted(MIX_ALARM), Situation(99), "head"),
        ({"concept": "full", "labels": "lora"}, drifted(MIX_ALARM), Situation(99), "lora"),
        ({"concept": "full", "labels": "lora"}, drifted(MIX_ALARM, WORSE), Situation(99), "full"),
        ({"concept": "full"}, drifted(MMD_ALARM), Situation(99), "head"),
        ({}, drifted(MMD_ALARM), Situation(99, alarms=(STAYED,), rungs=("head",)), "lora"),
        ({}, drifted(MMD_ALARM), Situation(99, alarms=(STAYED,), rungs=("full",)), "full"),
        ({}, drifted(MIX_ALARM), Situation(99, alarms=(STAYED,), rungs=("head",)), "head"),
        ({}, drifted(MMD_ALARM), Situation(99, alarms=(STAYED,), rungs=("gone",)), "head"),
        ({}, FIRST, Situation(99, first=True), "head"),
    ],
)
def test_what_is_learnt_is_learnt_at_a_rung(rungs, drift, seen, rung) -> None:
    settings = parse({"ladder": LADDER, "decide": {"rung": rungs}}, where="test")
    assert decide(settings, FIT, drift, seen).rung == rung
    assert decide(config(), FIT, drift, seen).rung is None


def test_what_is_not_learnt_has_no_rung() -> None:
    assert decide(parse({"ladder": LADDER}, where="test"), FIT, QUIET, Situation(99)).rung is None


@pytest.mark.parametrize("back", [timedelta(seconds=90), timedelta(days=400)])
def test_a_clock_that_stepped_back_skips_no_update(back) -> None:
    past = [cycle(1), cycle(2, MMD_ALARM)]
    last = max(one.started_at for one in past)
    seen = assess(past, waiting_rows=99, first=False, now=last - back)
    assert seen.hours == 0.0
    assert decide(config(), FIT, drifted(WORSE), seen).action == "learn"
