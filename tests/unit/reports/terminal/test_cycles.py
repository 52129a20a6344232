"""What the terminal says of a score: its metric, its rows, the baselines, and the classes."""

from __future__ import annotations

import pytest

from cl.records import Baselines, BaselineScores, Cycle, Evaluation, GateReport, Promotion, Score, Verdict
from cl.reports.measurements import describe_balance, describe_baselines, describe_score
from cl.reports.terminal.cycles import HEADER, class_lines, cycle_line, cycle_lines, reason_lines, undecided_lines
from tests.support.cycles import made_cycle


def evaluated(accuracy: float, classes: dict[str, tuple[int, float]], **baselines: float) -> Evaluation:
    """An evaluation on 40 test rows; of each class its rows, and its precision, recall and F1."""
    return Evaluation(
        metric="accuracy", accuracy=accuracy, calibration_error=0, latency_ms=1, size_mb=1, predictions="",
        challenger=[Score(experience="1", rows=40, value=accuracy)],
        per_class={
            name: {"count": float(count), "precision": score, "recall": score, "f1": score}
            for name, (count, score) in classes.items()
        },
        baselines=Baselines(of={name: BaselineScores(accuracy=value, scores=[]) for name, value in baselines.items()}),
    )  # fmt: skip


def test_a_score_names_its_metric_and_its_rows() -> None:
    learned = made_cycle(evaluation=evaluated(0.711, {}))
    assert describe_score(learned) == "mean accuracy 71.1 % of 40 test"
    quiet = made_cycle()
    drift = quiet.drift.model_copy(update={"champion_score": 0.5, "rows": 1_200, "metric": "mean F1 of a sentence"})
    assert describe_score(quiet.model_copy(update={"drift": drift})) == "mean F1 of a sentence 50.0 % of 1,200 new"
    assert describe_score(quiet) == "-"
    for cycle in (learned, quiet):
        assert len(cycle_line(cycle)) == len(HEADER)


def test_a_challenger_below_the_simplest_thing_is_told_so_in_one_line() -> None:
    lines = describe_baselines(evaluated(0.61, {}, majority=0.1, ncm=0.55, regression=0.66))
    assert lines == [
        "on the same rows: the majority class 10.0 %, the nearest class mean 55.0 %, "
        "logistic regression on frozen features 66.0 %",
        "the challenger is 5.0 points below logistic regression on frozen features",
    ]
    assert len(describe_baselines(evaluated(0.7, {}, majority=0.1, regression=0.66))) == 1
    assert describe_baselines(evaluated(0.7, {})) == []


def test_uneven_and_thin_classes_are_pointed_out() -> None:
    lines = describe_balance(evaluated(0.8, {"fee": (36, 0.9), "loan": (4, 0.1)}))
    assert lines == [
        "balanced accuracy 50.0 %; the most frequent class has 90.0 % of the test rows",
        "too few test rows to judge 1 of 2 classes: loan (4)",
    ]
    assert describe_balance(evaluated(0.8, {})) == []
    many = describe_balance(evaluated(0.8, {f"c{n:02}": (1, 0.5) for n in range(20)}))[1]
    assert "20 of 20 classes: c00 (1)" in many and many.endswith("and 12 more")


@pytest.mark.parametrize(("classes", "shown"), [(3, 3), (30, 10)])
def test_the_classes_known_least_come_first(classes, shown) -> None:
    lines = class_lines(evaluated(0.5, {f"c{n:02}": (9, n / 100) for n in range(classes)}))
    assert len(lines) == 2 + shown and lines[2].split() == ["c00", "9", "0.0", "0.0", "0.0"]
    assert all(len(line) == len(lines[1]) for line in lines[2:])
    assert lines[0] == ("Each class:" if classes == 3 else "The 10 of 30 classes with the lowest F1:")
    cycle: Cycle = made_cycle(evaluation=evaluated(0.5, {"c": (9, 0.5)}))
    assert cycle_lines([cycle])[-1].startswith("c  ") and class_lines(evaluated(0.5, {})) == []


def decided(*words: str, passed: bool = True) -> Cycle:
    verdicts = [
        Verdict(
            gate=f"gate{number}",
            passed=word != "fail",
            undecided=word == "undecided",
            rows_needed=195 if word == "undecided" else None,
            why="its 33 test rows are too few to call it a loss",
        )
        for number, word in enumerate(words, 1)
    ]
    return made_cycle(
        gates=GateReport(passed=passed, verdicts=verdicts), promotion=Promotion(version="2", promoted=passed)
    )


def test_a_promotion_names_its_undecided_gates_and_the_rows_that_would_decide() -> None:
    assert undecided_lines(decided("pass", "undecided")) == [
        "promoted with 1 undecided gate:",
        "    gate2: its 33 test rows are too few to call it a loss; about 195 such test rows would decide",
    ]
    assert undecided_lines(decided("undecided", "undecided"))[0] == "promoted with 2 undecided gates:"
    assert "    promoted with 1 undecided gate:" in reason_lines([decided("undecided")])


@pytest.mark.parametrize("cycle", [decided("pass"), decided("undecided", "fail", passed=False), made_cycle()])
def test_without_a_promotion_or_an_undecided_gate_nothing_is_said(cycle) -> None:
    assert undecided_lines(cycle) == []
