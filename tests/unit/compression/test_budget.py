"""What makes a version too dear, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cl.compression.budget import compression_reasons, exceeded_bounds, is_cost_gate, updates_since
from cl.config import Config, parse
from cl.errors import ConfigError
from cl.records import Evaluation, GateReport, Verdict, VersionInfo
from cl.records.history import History

LEARNT = History()


def evaluation(**changes: float) -> Evaluation:
    measured = {"latency_ms": 9.0, "size_mb": 90.0, "calibration_error": 0.0, "accuracy": 0.9}
    return Evaluation(
        metric="accuracy", challenger=[], predictions="", numbers={"memory_mb": 120.0}, **{**measured, **changes}
    )


def report(*refused: str) -> GateReport:
    verdicts = [Verdict(gate=one, passed=one not in refused, why="too much") for one in ("floor", *refused)]
    return GateReport(passed=not refused, verdicts=verdicts)


def asked(config: Config, gates: GateReport, *, champion: History = LEARNT, updates: int = 1) -> list[str]:
    return compression_reasons(config, evaluation(), gates, champion=champion, updates=updates)


def config(**distil: object) -> Config:
    return parse({"distil": distil}, where="test")


def test_by_default_nothing_is_derived() -> None:
    assert asked(Config(), report()) == asked(Config(), report("ceiling latency_ms")) == []


def test_a_gate_that_only_cost_breaks_asks_for_a_cheaper_version() -> None:
    wanted = config(when={"gate": True})
    assert asked(wanted, report()) == []
    assert asked(wanted, report("rule latency_p95_ms")) == ["rule latency_p95_ms refuses: too much"]
    assert len(asked(wanted, report("ceiling size_mb", "rule memory_mb"))) == 2
    assert asked(wanted, report("ceiling size_mb", "forgetting")) == [], "a student of a bad teacher is no better"


@pytest.mark.parametrize(
    "gate", ["floor", "forgetting", "rule score", "rule brier each", "no_regression", "smoke test"]
)
def test_gates_on_what_a_model_knows_are_not_about_cost(gate) -> None:
    assert not is_cost_gate(gate)


def test_a_budget_in_the_configuration_asks_for_one() -> None:
    assert asked(config(when={"max_latency_ms": 5}), report()) == ["distil.when.max_latency_ms is 5, measured 9.0"]
    assert asked(config(when={"max_size_mb": 100}), report()) == []
    assert exceeded_bounds(config(when={"max_memory_mb": 100, "max_size_mb": 10}), evaluation()) == [
        "distil.when.max_size_mb is 10, measured 90.0",
        "distil.when.max_memory_mb is 100, measured 120.0",
    ]


def test_so_many_updates_ask_for_one() -> None:
    wanted = config(when={"updates": 3})
    assert asked(wanted, report(), updates=2) == []
    assert asked(wanted, report(), updates=3)[0].startswith("3 updates since the last cheaper version")


def test_a_student_whose_teacher_learns_is_derived_again_and_so_is_a_champion_in_int8() -> None:
    student, small = History(form="student"), History(form="int8")
    assert asked(config(), report(), champion=student) == []
    assert asked(config(then="teacher"), report(), champion=student)
    assert asked(config(), report(), champion=small)


def test_updates_are_counted_from_the_last_cheaper_version_of_the_line() -> None:
    def info(version: str, parent: str, form: str | None = None) -> VersionInfo:
        tags = {"cl.parent": parent, **({"cl.form": form} if form else {})}
        return VersionInfo(version=version, created=datetime.now(UTC), run_id="", tags=tags, aliases=[])

    versions = [info("1", ""), info("2", "1"), info("3", "2", "student"), info("4", "3"), info("5", "2")]
    assert [updates_since(one, versions) for one in (None, "2", "3", "4", "5")] == [1, 3, 1, 2, 4]


def test_forms_that_make_no_sense_are_refused() -> None:
    for forms in (["int8", "student"], ["onnx", "onnx"], ["onnx-int8", "onnx"]):
        with pytest.raises(
            ConfigError, match="list each of student, int8, onnx, onnx-int8 at most once, in this order"
        ):
            config(forms=forms)
    assert config(forms=["student", "onnx-int8"]).distil.forms == ["student", "onnx-int8"]
