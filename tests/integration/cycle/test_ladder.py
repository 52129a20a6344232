"""The way up the ladder: where it stops, what it tells, what it may cost, and that a kill does not end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cl.config import Config, load, parse
from cl.cycle.cost import UpdateSizes, expected_cost
from cl.cycle.ladder import Attempt, Climb, climb_ladder
from cl.errors import ConfigError, DivergedError
from cl.lifecycle import run_waiting
from cl.records import Challenger, Evaluation, GateReport, LadderResult, RungResult, Training, Verdict
from cl.reports.terminal.cycles import ladder_lines, reason_lines
from cl.stores.stores import open_stores
from tests.support.climbing import CLIMBING, FULL, JOINT, SOLVE, TWO, WEAK, WILD, arrives, climbing_shop, way  # noqa: F401

USUAL = UpdateSizes(new=100, past=1_000)


def test_where_the_last_rung_diverges_the_challenger_is_the_one_before(shop) -> None:
    project = shop(ladder=[WEAK, WILD], training={"epochs": 1, "batch_size": 8, "clip_norm": 1e9})
    (only,) = run_waiting(project)
    assert only.verdict == "refused" and [one.rung for one in only.climb.judged] == ["weak"] and only.rung == "weak"
    assert "refused by floor" in "\n".join(reason_lines([only])) and only.climb.attempts[-1].diverged


def test_a_rung_that_has_diverged_is_not_tried_again_when_the_cycle_was_killed_after_it(shop) -> None:
    project = shop(ladder=[WILD, FULL], training={"epochs": 25, "batch_size": 8, "clip_norm": 1e9})
    trained: list[int] = []

    class KilledError(Exception):
        """The process is gone."""

    def dying(stage: Callable[..., Any]) -> Callable[..., Any]:
        trained.extend([1] if stage.__name__ == "train" else [])
        if len(trained) == 2 and stage.__name__ == "train":
            raise KilledError
        return stage

    with pytest.raises(KilledError):
        run_waiting(project, executor=dying)
    (resumed,) = run_waiting(project, executor=dying)
    assert way(resumed)[0] == ("wild", False) and resumed.climb.begun[0].rows > 0 and len(trained) == 3


def test_an_update_that_no_rung_is_enough_for_is_refused_with_all_that_was_tried(shop) -> None:
    project = shop(gates=[{"name": "floor", "min": 1.0}, {"name": "ceiling", "metric": "size_mb", "max": 1e-6}])
    (only,) = run_waiting(project)
    assert only.verdict == "refused" and way(only) == [("weak", False), ("full", False)]
    refusals = [line for line in reason_lines([only]) if "refused by" in line]
    assert len(refusals) == 2 and all("ceiling" in line for line in refusals), "each refusal is named once"
    (version,) = open_stores(project, load(project.config)).registry.versions()
    assert version.aliases == ["challenger"]


def trained(rows: int, *, score: float = 0.5, rung: str | None = None) -> Training:
    return Training(
        challenger="", rung=rung, experiences=["1"], epochs=1, steps=1, rows_new=rows, rows_learnt=rows,
        rows_recalled=0, seconds=rows / 100, validation_score=score, losses=[],
    )  # fmt: skip


def judged(training: Training, *, passed: bool) -> Challenger:
    evaluation = Evaluation(
        metric="accuracy", challenger=[], accuracy=0.5, calibration_error=0, latency_ms=1, size_mb=1, predictions=""
    )
    verdict = Verdict(gate="floor", passed=passed, why="as asked")
    return Challenger(training=training, evaluation=evaluation, gates=GateReport(passed=passed, verdicts=[verdict]))


def climbed(
    *, begin: str = "weak", enough: str = "", past: tuple[LadderResult, ...] = (), **bounds: float
) -> list[tuple[str, str]]:
    """Climb weak, full, joint with 100 new rows and 1,000 of the past; every rung learns what was expected of it."""
    config = parse(
        {"ladder": [*TWO, JOINT], "training": {"epochs": 4}, "climb": {"pick": "first", **bounds}}, where="test"
    )

    def train(rung: str | None, own: Config) -> Training:
        return trained(expected_cost(own, USUAL, (), rung=str(rung), ladder=config).rows)

    attempt = Attempt(train, lambda rung, training: judged(training, passed=rung == enough))
    found = climb_ladder(config, Climb(begin, [], USUAL, past), attempt).result
    assert found is not None
    return [(one.rung, one.skipped or ("passed" if one.passed else "refused")) for one in found.attempts]


def picked(
    scores: dict[str, float], *, refused: tuple[str, ...] = (), past: tuple[LadderResult, ...] = (), **bounds: Any
) -> tuple[str | None, LadderResult]:
    """Climb rungs that do so well on validation rows, and return which one's challenger it is, and the result."""
    own = {"costly": {"growth": 3}, "extra": {"below": 0.9}}
    rungs = [{"name": name, "strategy": "naive", **own.get(name, {})} for name in scores]
    config = parse({"ladder": rungs, "climb": bounds}, where="test")
    attempt = Attempt(
        lambda rung, own: trained(10, score=scores[str(rung)], rung=rung),
        lambda rung, training: judged(training, passed=rung not in refused),
    )
    done = climb_ladder(config, Climb(next(iter(scores)), [], USUAL, past), attempt)
    assert done.result is not None
    return done.challenger.training.rung, done.result


def test_the_best_on_validation_rows_is_judged_and_the_others_say_what_outdid_them() -> None:
    rung, result = picked({"cheap": 0.71, "middle": 0.83, "costly": 0.8})
    assert rung == "middle" and [tried.rung for tried in result.judged] == ["middle"] and result.passed
    assert [begun.rung for begun in result.begun] == ["cheap", "costly", "middle"], (
        "all were trained, and cost their time"
    )
    assert result.attempts[0].outdone == "'middle' does better on validation rows: 83.0 %, not 71.0"
    assert (
        ladder_lines(result)[0]
        == "rung cheap: 10 rows, 0.1 s, 'middle' does better on validation rows: 83.0 %, not 71.0"
    )


def test_the_cheapest_of_equally_good_rungs_is_taken() -> None:
    assert picked({"cheap": 0.8, "middle": 0.8})[0] == "cheap"


def test_where_a_gate_refuses_the_best_the_next_best_is_judged() -> None:
    rung, result = picked({"cheap": 0.7, "middle": 0.9, "costly": 0.8}, refused=("middle",))
    assert rung == "costly" and [(tried.rung, tried.passed) for tried in result.judged] == [
        ("middle", False),
        ("costly", True),
    ]
    rung, result = picked({"cheap": 0.7, "middle": 0.9}, refused=("cheap", "middle"))
    assert rung == "cheap" and not result.passed and len(result.judged) == 2


def test_a_rung_is_due_again_only_when_its_rows_have_grown() -> None:
    """There are 1,100 rows now."""
    for before, due in ((366, True), (367, False)):
        past = (
            LadderResult(total_rows=before, attempts=[RungResult(rung="costly", outdone="another did better")]),
            LadderResult(total_rows=before + 9, attempts=[RungResult(rung="costly", skipped="not due")]),
        )
        rung, result = picked({"cheap": 0.7, "costly": 0.8}, past=past)
        assert rung == ("costly" if due else "cheap")
    assert (
        result.attempts[0].skipped == "it was last tried with 367 rows, there are 1,100; it is due at 3 times as many"
    )
    assert result.total_rows == 1_100


@pytest.mark.parametrize(("score", "tried"), [(0.89, True), (0.9, False)])
def test_a_rung_is_not_needed_where_a_lower_one_scores_enough(score, tried) -> None:
    rung, result = picked({"cheap": score, "extra": 0.95})
    assert rung == ("extra" if tried else "cheap")
    if not tried:
        assert result.attempts[0].skipped == "'cheap' scores 90.0 % on validation rows; it is tried below 90 %"


def test_rungs_that_are_not_due_or_not_needed_are_tried_after_all_where_no_other_passes() -> None:
    past = (LadderResult(attempts=[RungResult(rung="costly", rows=1)], total_rows=1_000),)
    rung, result = picked({"cheap": 0.95, "costly": 0.8, "extra": 0.7}, refused=("cheap", "costly"), past=past)
    assert rung == "extra" and result.passed
    assert [tried.rung for tried in result.attempts] == ["cheap", "costly", "extra"]
    rung, result = picked({"cheap": 0.95, "costly": 0.8, "extra": 0.7}, refused=("cheap",), past=past)
    assert rung == "costly" and [one.rung for one in result.attempts if one.skipped] == ["extra"]


def test_a_rung_that_is_tried_after_all_still_has_to_fit_the_budget() -> None:
    past = (LadderResult(attempts=[RungResult(rung="costly", rows=1)], total_rows=1_000),)
    rung, result = picked({"cheap": 0.95, "costly": 0.8}, refused=("cheap",), past=past, max_rungs=1)
    assert rung == "cheap" and not result.passed
    assert [(one.rung, one.skipped) for one in result.attempts] == [
        ("cheap", None),
        ("costly", "climb.max_rungs is 1"),
    ]


@pytest.mark.parametrize("setting", [{"growth": 2}, {"below": 0.9}])
def test_the_first_rung_is_tried_in_every_update(setting) -> None:
    with pytest.raises(ConfigError, match="'a': the first rung must be tried in every update: set growth to 1"):
        parse({"ladder": [{"name": "a", **setting}]}, where="test")


def test_a_rung_that_does_not_fit_into_what_is_left_is_not_begun() -> None:
    tight = climbed(max_rows=1_000)
    assert tight[0] == ("weak", "refused")
    assert tight[1:] == [
        ("full", "it needs about 1,600 rows, climb.max_rows leaves 900"),
        ("joint", "it needs about 4,400 rows, climb.max_rows leaves 900"),
    ]
    assert climbed(max_rows=6_100) == [("weak", "refused"), ("full", "refused"), ("joint", "refused")]
    assert climbed(max_rows=6_099)[2][1].endswith("climb.max_rows leaves 4,399")


def test_where_nothing_from_the_first_rung_on_fits_the_dearest_one_below_is_tried() -> None:
    assert climbed(begin="joint", max_rows=2_000, enough="full") == [
        ("joint", "it needs about 4,400 rows, climb.max_rows leaves 2,000"),
        ("full", "passed"),
    ]


def test_seconds_that_rungs_have_taken_before_bound_what_is_begun() -> None:
    before = LadderResult(
        attempts=[RungResult(rung=name, rows=100, training_seconds=1.0) for name in ("weak", "full", "joint")]
    )
    assert climbed(past=(before,), max_seconds=16.9) == [
        ("weak", "refused"),
        ("full", "it needs about 16 s, climb.max_seconds leaves 16"),
        ("joint", "it needs about 44 s, climb.max_seconds leaves 16"),
    ]


def test_of_a_rung_that_diverged_the_cost_counts_and_its_pace_does_not() -> None:
    config = parse(
        {"ladder": [*TWO, JOINT], "training": {"epochs": 4}, "climb": {"pick": "first", "max_rows": 1_640}},
        where="test",
    )

    def train(rung: str | None, own: Config) -> Training:
        if rung == "weak":
            raise DivergedError("the loss is nan", rows=41, seconds=1.0)
        raise AssertionError(rung)

    with pytest.raises(DivergedError, match=r"rung 'weak': the loss is nan; rung 'full': skipped: .* leaves 1,599"):
        climb_ladder(
            config, Climb("weak", [], USUAL, ()), Attempt(train, lambda rung, training: judged(training, passed=False))
        )
    assert costs(RungResult(rung="full", rows=1_000, training_seconds=10.0, diverged="nan"), rung="full")[1] is None


def test_a_rung_below_is_tried_where_all_from_the_first_on_diverge() -> None:
    config = parse({"ladder": TWO, "climb": {"pick": "first"}}, where="test")

    def train(rung: str | None, own: Config) -> Training:
        if rung == "full":
            raise DivergedError("the loss is nan")
        return trained(100)

    attempt = Attempt(train, lambda rung, training: judged(training, passed=True))
    found = climb_ladder(config, Climb("full", [], USUAL, ()), attempt).result
    assert found is not None and [(one.rung, one.passed) for one in found.begun] == [("full", False), ("weak", True)]


def test_rungs_can_be_few() -> None:
    assert climbed(max_rungs=1)[1:] == [("full", "climb.max_rungs is 1"), ("joint", "climb.max_rungs is 1")]


def costs(*known: RungResult, rung: str, sizes: UpdateSizes = USUAL) -> tuple[int, float | None]:
    ladder: Config = parse({"ladder": [SOLVE, *TWO, JOINT], "training": {"epochs": 4}}, where="test")
    found = expected_cost(ladder.at_rung(rung), sizes, known, rung=rung, ladder=ladder)
    return found.rows, found.seconds


def test_rows_are_expected_from_what_each_strategy_learns_in_an_epoch() -> None:
    assert costs(rung="weak") == (100, None)
    assert costs(rung="solve") == (1_100, None), "sums begin anew"
    assert costs(rung="solve", sizes=UpdateSizes(100, 1_000, summed=True)) == (100, None)
    assert costs(rung="full") == (4 * (100 + 300), None), "three rows of the buffer for each new one"
    assert costs(rung="joint") == (4 * 1_100, None)


def test_seconds_are_expected_from_the_rungs_own_pace_or_from_that_of_another() -> None:
    own = RungResult(rung="full", rows=1_000, training_seconds=10.0, judged_seconds=2.0)
    assert costs(own, rung="full")[1] == pytest.approx(1_600 * 0.01 + 2)
    solved = RungResult(rung="solve", rows=1_000, training_seconds=1.0, judged_seconds=2.0)
    assert costs(solved, rung="full")[1] == pytest.approx(1_600 * 0.003 + 2), "a trained row is three passes"
    assert costs(RungResult(rung="full", skipped="too dear"), rung="full")[1] is None
