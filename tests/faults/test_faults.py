"""Faults with every change (slow) and in the night (nightly): the same harness, a few of each and many."""

from __future__ import annotations

import pytest

from tests.faults import disk_full, kills
from tests.faults.deeds import KillItself
from tests.faults.invariants import broken, unlike
from tests.faults.moments import BOUNDARIES, UPLOAD, WRITE, Moment
from tests.faults.results import Results
from tests.faults.suite import FAULTS, FEW, MANY, Bench
from tests.faults.table import table
from tests.faults.trial import Attempt, Trial
from tests.support import warm

AMOUNTS = [FEW, pytest.param(MANY, marks=pytest.mark.nightly)]


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("amount", AMOUNTS, ids=["few", "many"])
@pytest.mark.parametrize("kind", FAULTS)
def test_after_a_fault_nothing_is_lost_and_the_next_run_ends_as_if_undisturbed(
    project, tmp_path, tiny_model, kind, amount
) -> None:
    trials = [one.made() for one in FAULTS[kind](Bench(project, tmp_path, tiny_model, amount, seed=0))]
    assert trials and not [str(one) for one in trials if one.wrong]
    if kind == "kills":
        assert len(trials) >= (20 if amount is FEW else 100)
    if kind == "disk" and not disk_full.may_mount(project.place):
        pytest.skip("this machine mounts no file system for this user: the disk was not filled, only files limited")


def test_a_run_passes_every_boundary_that_kills_are_drawn_from(project) -> None:
    passed = {one.boundary for one in project.moments}
    names = {target.partition(":")[2] for target in BOUNDARIES[1:]} - {UPLOAD}
    assert names <= passed, "a boundary that was renamed would be killed at no more"
    stages = ("start", "validate", "drift", "decide", "train", "evaluate", "gate", "register", "promote")
    assert {f"journal of {stage}" for stage in stages} <= passed
    assert len(kills.boundaries(project)) + MANY.writes + MANY.moments + MANY.twice >= 100
    assert sum(one.boundary == WRITE for one in project.moments) > MANY.writes


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
    assert {"tests.support.warm_imports", "dvc.repo", "mlflow.pyfunc.model", "cl.unlearn"} <= imported


def test_what_is_interrupted_goes_on_where_it_was(tmp_path) -> None:
    file, made = tmp_path / "results.jsonl", []

    class Told(Attempt):
        def made(self) -> Trial:
            made.append(self.where)
            return Trial(self.fault, self.where, [], 1.0)

    def attempts() -> list[Attempt]:
        return [Told(None, "SIGKILL", where, list) for where in ("one", "two", "three")]

    for until in (2, 3):
        results = Results(file)
        for number, one in enumerate(attempts()[:until]):
            if not results.has("kills", number, "seed 0"):
                results.made("kills", number, "seed 0", one)
        with file.open("a") as broken_off:
            broken_off.write('{"kind": "kills", "num')
    assert made == ["one", "two", "three"]
    assert [one.where for one in Results(file).trials] == made and not Results(file).has("kills", 2, "seed 1")


def test_the_table_counts_trials_and_names_those_that_were_not_well() -> None:
    trials = [
        Trial("SIGKILL at a step boundary", "before place", [], 2.0),
        Trial("SIGKILL at a step boundary", "after place", ["row a is there 2 times"], 4.0),
    ]
    told = table(trials, undisturbed=3.0)
    assert "| SIGKILL at a step boundary | 2 |" in told and "| 1 | 3.0 s, 4.0 s |" in told
    assert "after place: row a is there 2 times" in told
