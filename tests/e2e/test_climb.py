"""The way up the ladder, cycle after cycle, and that a kill does not end it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cl.config import load
from cl.errors import ConfigError, DivergedError
from cl.lifecycle import run_waiting
from cl.reports.html import write_report
from cl.reports.terminal.cycles import reason_lines
from cl.stores.stores import open_stores
from tests.support import warm
from tests.support.climbing import CLIMBING, FULL, JOINT, SOLVE, TWO, WEAK, WILD, arrives, climbing_shop, way  # noqa: F401


def test_an_update_stops_at_the_first_rung_that_passes_and_the_next_one_begins_there(shop) -> None:
    project = shop()
    (first,) = run_waiting(project)
    assert first.verdict == "promoted" and way(first) == [("weak", False), ("full", True)]
    weak, full = first.climb.attempts
    assert "floor" in weak.refused_by and not full.refused_by
    assert (weak.rows, full.rows) == (first.training.rows_new, first.training.rows_learnt)
    assert first.decision.rung == "weak" and first.rung == first.training.rung == "full"

    stores = open_stores(project, load(project.config))
    assert [one.version for one in stores.registry.versions()] == ["1"], "of a rung that failed, the record remains"
    told = "\n".join(reason_lines([first]))
    assert f"rung weak: {weak.rows} rows, " in told and "refused by floor: " in told and "s, passed" in told
    page = write_report([first], [], project.root / "r.html", name="shop").read_text()
    assert '<th scope="row">weak</th>' in page and '<span class="refused">floor</span>' in page
    metrics = stores.registry.runs.client.get_run(first.run).data.metrics
    assert metrics["rung/weak/rows"] == weak.rows and metrics["rung/full/seconds"] == pytest.approx(full.seconds)

    arrives(project, "two", ["box", "loan"], seed=2)
    (second,) = run_waiting(project)
    assert second.verdict == "promoted" and second.drift.new_labels == ["box"] and way(second)[0] == ("weak", False), (
        "another type of drift"
    )
    arrives(project, "quiet", ["loan", "fee", "box"], seed=3)
    arrives(project, "shoes", ["shoe", "loan"], seed=4)
    quiet, third = run_waiting(project)
    assert quiet.verdict == "none", (
        "so that it is memory, and no alarm that has outlived an update, which begins higher"
    )
    assert way(third)[0][0] == "full" and "rung 'weak' is skipped" in third.decision.reasons[-1]


@pytest.mark.parametrize(
    "stage", ["evaluate", *(pytest.param(one, marks=pytest.mark.nightly) for one in ("train", "gate", "register"))]
)
def test_a_climb_that_was_killed_goes_on_at_its_rung_and_ends_as_if_nothing_had_been(shop, stage) -> None:
    (undisturbed,) = run_waiting(shop("calm"))
    project = shop("killed")
    script = (
        "import os, signal, sys; from pathlib import Path; from cl.lifecycle import run_waiting\n"
        "from cl.stores.project_folder import find_project\n"
        "seen = []\n"
        "def step(stage):\n"
        f"    seen.append(stage.__name__ == '{stage}')\n"
        f"    if sum(seen) == {1 if stage == 'register' else 2} and seen[-1]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return stage\n"
        "run_waiting(find_project(Path(sys.argv[1])), executor=step)\n"
    )
    done = warm.python(script, str(project.root))
    assert done.returncode == -signal.SIGKILL
    begun: list[str] = []

    def noted(one: Callable[..., Any]) -> Callable[..., Any]:
        begun.append(one.__name__)
        return one

    (resumed,) = run_waiting(project, executor=noted)
    assert begun.count("train") == (1 if stage == "train" else 0), "what was finished is not done again"
    assert way(resumed) == way(undisturbed) and resumed.verdict == "promoted"
    assert resumed.training.losses == undisturbed.training.losses
    assert not list((project.work / "cycles").iterdir())


def test_a_rung_that_diverges_is_told_with_its_cost_and_the_climb_goes_on(shop) -> None:
    training = {"epochs": 25, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "clip_norm": 1e9}
    project = shop(ladder=[WILD, FULL], training=training)
    (only,) = run_waiting(project)
    assert only.verdict == "promoted" and way(only) == [("wild", False), ("full", True)]
    wild = only.climb.begun[0]
    assert "learning_rate 1e+30" in wild.diverged and wild.rows > 0 and wild.seconds > 0
    assert only.training_seconds == pytest.approx(wild.seconds + only.training.seconds)
    assert f"rung wild: {wild.rows} rows, {wild.seconds:.1f} s, diverged: training" in "\n".join(reason_lines([only]))
    page = write_report([only], [], project.root / "r.html", name="shop").read_text()
    assert '<span class="refused">diverged</span>: training stopped' in page


def test_where_every_rung_diverges_the_cycle_fails_and_a_later_run_tries_them_anew(champion_shop) -> None:
    project = champion_shop(**CLIMBING)
    arrives(project, "two", ["box", "loan"], seed=2)
    good = project.config.read_text()
    raw = yaml.safe_load(good)
    wild = {**raw, "ladder": [WILD, {**WILD, "name": "wilder"}], "training": {**raw["training"], "clip_norm": 1e9}}
    project.config.write_text(yaml.safe_dump(wild))
    begun: list[str] = []

    def noted(stage: Callable[..., Any]) -> Callable[..., Any]:
        begun.append(stage.__name__)
        return stage

    for _ in range(2):
        with pytest.raises(
            DivergedError, match=r"rung 'wild': training .*; rung 'wilder': training .* champion is unchanged$"
        ):
            run_waiting(project, executor=noted)
    assert begun.count("train") == 4
    stores = open_stores(project, load(project.config))
    assert stores.ledger.champion("shop") == "1" and len(stores.registry.versions()) == 1
    project.config.write_text(good)
    (second,) = run_waiting(project)
    assert second.experience.name == "two" and second.training is not None, "it has waited"


def test_a_solved_head_comes_first_and_a_trained_rung_goes_on_from_it(shop) -> None:
    project = shop(ladder=[SOLVE, FULL], gates=[], decide={"rung": {"new_classes": "full"}})
    (first,) = run_waiting(project)
    assert way(first) == [("solve", True)] and first.training.epochs == 0
    arrives(project, "two", ["loan", "fee", "box"], seed=2)
    (second,) = run_waiting(project)
    assert way(second) == [("full", True)] and second.evaluation.accuracy > 0.8
    assert second.training.rows_recalled > 0, "rows of the first, which was learnt without replay"
    arrives(project, "three", ["loan", "fee"], seed=3)
    (quiet,) = run_waiting(project)
    assert quiet.verdict == "none"
    (third,) = run_waiting(project, again=quiet.experience.id)
    assert way(third) == [("solve", True)] and third.training.rows_learnt > third.training.rows_new, (
        "the encoder has moved since: sums begin anew over all rows"
    )


def test_a_budget_too_small_for_any_rung_is_told_and_leaves_the_champion(shop) -> None:
    project = shop()
    run_waiting(project)
    text = project.config.read_text()
    arrives(project, "two", ["box", "loan"], seed=2)
    for bound, given in (("max_rows", 20), ("max_seconds", 0.001)):
        settings = yaml.safe_load(text)
        project.config.write_text(yaml.safe_dump(settings | {"climb": settings.get("climb", {}) | {bound: given}}))
        with pytest.raises(
            ConfigError, match=f"climb.{bound}: {given}: too small for any rung .* the cheapest, 'weak'"
        ):
            run_waiting(project)
    stores = open_stores(project, load(project.config))
    assert stores.ledger.champion("shop") == "1" and len(stores.registry.versions()) == 1
    project.config.write_text(text)
    (second,) = run_waiting(project)
    assert second.experience.name == "two" and second.training is not None, "it has waited"
