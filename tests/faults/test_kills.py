"""SIGKILL of a run, of the tracking server under it, and of `cl forget`."""

from __future__ import annotations

import dataclasses

import pytest

from tests.faults import kills
from tests.faults.deeds import KillItself
from tests.faults.invariants import broken, unlike
from tests.faults.moments import BOUNDARIES, UPLOAD, Moment
from tests.faults.suite import FAULTS, FEW, KILLS, MANY, MOST_DELICATE
from tests.support import warm


@pytest.mark.parametrize("kind", KILLS)
def test_after_a_kill_nothing_is_lost_and_the_next_run_ends_as_if_undisturbed(bench, kind) -> None:
    trials = [one.made() for one in FAULTS[kind](bench)]
    wrong = [str(one) for one in trials if one.wrong]
    assert trials and not wrong, "\n".join(wrong)
    if kind == "kills":
        assert len(trials) >= bench.amount.kills


def test_a_run_passes_every_boundary_that_kills_are_drawn_from(project) -> None:
    passed = {one.boundary for one in project.moments}
    names = {target.partition(":")[2] for target in BOUNDARIES[1:]} - {UPLOAD}
    assert names <= passed, "a boundary that was renamed would be killed at no more"
    stages = ("start", "validate", "detect_drift", "decide", "train", "evaluate", "gate", "register", "promote")
    assert {f"journal of {stage}" for stage in stages} <= passed
    assert set(MOST_DELICATE) <= set(kills.boundaries(project))
    assert len(kills.boundaries(project)) + MANY.writes + MANY.moments + MANY.twice >= MANY.kills >= 100
    assert len(kills.writes(project)) > MANY.writes


def test_the_night_injects_all_that_is_injected_with_a_change() -> None:
    for amount in dataclasses.fields(FEW):
        few, many = getattr(FEW, amount.name), getattr(MANY, amount.name)
        if isinstance(few, tuple):
            assert many is None or set(few) <= set(many), amount.name
        elif isinstance(few, int):
            assert many is None or few <= many, amount.name
    assert (FEW.boundaries, MANY.boundaries) == ("most delicate", "all")


def test_the_checks_see_what_a_kill_leaves_undone(project) -> None:
    project.put_back()
    ended = project.run(before=KillItself(Moment("journal of train", when="after"), project.place))
    assert ended.killed
    state = project.state()
    assert broken(state, project.rows) == []
    assert any("journals" in one for one in unlike(state, project.undisturbed, project.rows))
    assert any("cycles" in one for one in unlike(state, project.undisturbed, project.rows))


def test_the_warm_process_has_imported_what_a_cycle_needs(tmp_path) -> None:
    """A module that is not there any more would end the imports without a word, and each process would pay for them."""
    imported = warm.call(tmp_path / "said", warm.modules)
    assert {"tests.support.warm_imports", "dvc.repo", "mlflow.pyfunc.model", "cl.revision.unlearn"} <= imported
