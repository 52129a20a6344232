"""The way up the ladder: where it stops, what it tells, what it may cost, and that a kill does not end it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cl.climb import climb
from cl.config import Config, load, parse
from cl.errors import ConfigError, DivergedError
from cl.estimate import Sizes, expected
from cl.lifecycle import learn
from cl.records import Attempt, Climb, Cycle, Evaluation, GateReport, Training, Tried, Verdict
from cl.reports.html import write_report
from cl.reports.text import reason_lines
from cl.stores.connect import connect
from cl.stores.local import Project
from tests.support.tiny import made_sentences, tiny_project

WEAK = {"name": "weak", "strategy": "naive", "epochs": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}
SOLVE = {"name": "solve", "strategy": "ncm"}
FULL = {"name": "full", "strategy": ["replay", "ewc"]}
WILD = {"name": "wild", "learning_rate": 1e30, "head_learning_rate": 1e30}
JOINT = {"name": "joint", "strategy": {"name": "joint", "restart": True}}
TWO = [WEAK, FULL]
USUAL = Sizes(new=100, past=1_000)


@pytest.fixture
def shop(tmp_path: Path, tiny_model: Path) -> Callable[..., Project]:
    """A shop in whose first inbox lie two labels: a weak rung cannot tell them apart, a full one can."""

    def made(name: str = "shop", **changes: Any) -> Project:
        drift = {"report": "off", "detectors": ["new_labels"]}
        settings = {"drift": drift, "ladder": TWO, "gates": [{"name": "floor", "min": 0.8}], **changes}
        project = tiny_project(tmp_path / name, tiny_model, **settings)
        arrives(project, "one", ["loan", "fee"], seed=1)
        return project

    return made


def arrives(project: Project, name: str, labels: list[str], *, seed: int, rows: int = 60) -> None:
    made_sentences(labels, rows, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def way(cycle: Cycle) -> list[tuple[str, bool]]:
    assert cycle.climb is not None
    return [(one.rung, one.passed) for one in cycle.climb.begun]


def test_an_update_stops_at_the_first_rung_that_passes_and_the_next_one_begins_there(shop) -> None:
    project = shop()
    (first,) = learn(project)
    assert first.verdict == "promoted" and way(first) == [("weak", False), ("full", True)]
    weak, full = first.climb.attempts
    assert "floor" in weak.refused_by and not full.refused_by
    assert (weak.rows, full.rows) == (first.training.rows_new, first.training.rows_learnt)
    assert first.decision.rung == "weak" and first.rung == first.training.rung == "full"

    stores = connect(project, load(project.config))
    assert [one.version for one in stores.registry.versions()] == ["1"], "of a rung that failed, the record remains"
    told = "\n".join(reason_lines([first]))
    assert f"rung weak: {weak.rows} rows, " in told and "refused by floor: " in told and "s, passed" in told
    page = write_report([first], [], project.root / "r.html", name="shop", quarantine={}).read_text()
    assert '<th scope="row">weak</th>' in page and '<span class="refused">floor</span>' in page
    metrics = stores.registry._client.get_run(first.run).data.metrics
    assert metrics["rung/weak/rows"] == weak.rows and metrics["rung/full/seconds"] == pytest.approx(full.seconds)

    arrives(project, "two", ["box", "loan"], seed=2)
    (second,) = learn(project)
    assert second.drift.new_labels == ["box"] and way(second)[0] == ("weak", False), "another type of drift"
    arrives(project, "quiet", ["loan", "fee", "box"], seed=3)
    arrives(project, "shoes", ["shoe", "loan"], seed=4)
    quiet, third = learn(project)
    assert quiet.verdict == "none", (
        "so that it is memory, and no alarm that has outlived an update, which begins higher"
    )
    assert way(third)[0][0] == "full" and "rung 'weak' is passed over" in third.decision.reasons[-1]


def test_a_rung_that_diverges_is_told_with_its_cost_and_the_climb_goes_on(shop) -> None:
    training = {"epochs": 25, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "clip_norm": 1e9}
    project = shop(ladder=[WILD, FULL], training=training)
    (only,) = learn(project)
    assert only.verdict == "promoted" and way(only) == [("wild", False), ("full", True)]
    wild = only.climb.begun[0]
    assert "learning_rate 1e+30" in wild.diverged and wild.rows > 0 and wild.seconds > 0
    assert only.training_seconds == pytest.approx(wild.seconds + only.training.seconds)
    assert f"rung wild: {wild.rows} rows, {wild.seconds:.1f} s, diverged: training" in "\n".join(reason_lines([only]))
    page = write_report([only], [], project.root / "r.html", name="shop", quarantine={}).read_text()
    assert '<span class="refused">diverged</span>: training stopped' in page


def test_where_the_last_rung_diverges_the_challenger_is_the_one_before(shop) -> None:
    project = shop(ladder=[WEAK, WILD], training={"epochs": 1, "batch_size": 8, "clip_norm": 1e9})
    (only,) = learn(project)
    assert only.verdict == "refused" and [one.rung for one in only.climb.judged] == ["weak"] and only.rung == "weak"
    assert "refused by floor" in "\n".join(reason_lines([only])) and only.climb.attempts[-1].diverged


def test_where_every_rung_diverges_the_cycle_fails_and_a_later_run_tries_them_anew(shop) -> None:
    project = shop(training={"epochs": 25, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2})
    learn(project)
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
        with pytest.raises(DivergedError, match=r"rung 'wild': training .*; rung 'wilder': training .* serves on$"):
            learn(project, step=noted)
    assert begun.count("train") == 4
    stores = connect(project, load(project.config))
    assert stores.ledger.champion("shop") == "1" and len(stores.registry.versions()) == 1
    project.config.write_text(good)
    (second,) = learn(project)
    assert second.experience.name == "two" and second.training is not None, "it has waited"


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
        learn(project, step=dying)
    (resumed,) = learn(project, step=dying)
    assert way(resumed)[0] == ("wild", False) and resumed.climb.begun[0].rows > 0 and len(trained) == 3


def test_an_update_that_no_rung_is_enough_for_is_refused_with_all_that_was_tried(shop) -> None:
    project = shop(gates=[{"name": "floor", "min": 1.0}, {"name": "ceiling", "metric": "size_mb", "max": 1e-6}])
    (only,) = learn(project)
    assert only.verdict == "refused" and way(only) == [("weak", False), ("full", False)]
    lines = reason_lines([only])
    assert len(lines) == 3 and all("ceiling" in line for line in lines[1:]), "each refusal is told once"
    (version,) = connect(project, load(project.config)).registry.versions()
    assert version.aliases == ["challenger"]


def test_a_solved_head_comes_first_and_a_trained_rung_goes_on_from_it(shop) -> None:
    project = shop(ladder=[SOLVE, FULL], gates=[], decide={"rung": {"new_classes": "full"}})
    (first,) = learn(project)
    assert way(first) == [("solve", True)] and first.training.epochs == 0
    arrives(project, "two", ["loan", "fee", "box"], seed=2)
    (second,) = learn(project)
    assert way(second) == [("full", True)] and second.evaluation.accuracy > 0.8
    assert second.training.rows_recalled > 0, "rows of the first, which was learnt without replay"
    arrives(project, "three", ["loan", "fee"], seed=3)
    (quiet,) = learn(project)
    assert quiet.verdict == "none"
    (third,) = learn(project, again=quiet.experience.id)
    assert way(third) == [("solve", True)] and third.training.rows_learnt > third.training.rows_new, (
        "the encoder has moved since: sums begin anew over all rows"
    )


@pytest.mark.parametrize(
    "stage", ["evaluate", *(pytest.param(one, marks=pytest.mark.nightly) for one in ("train", "gate", "register"))]
)
def test_a_climb_that_was_killed_goes_on_at_its_rung_and_ends_as_if_nothing_had_been(shop, stage) -> None:
    (undisturbed,) = learn(shop("calm"))
    project = shop("killed")
    script = (
        "import os, signal, sys; from pathlib import Path; from cl.lifecycle import learn\n"
        "from cl.stores.local import open_project\n"
        "seen = []\n"
        "def step(stage):\n"
        f"    seen.append(stage.__name__ == '{stage}')\n"
        f"    if sum(seen) == {1 if stage == 'register' else 2} and seen[-1]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return stage\n"
        "learn(open_project(Path(sys.argv[1])), step=step)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(project.root)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    begun: list[str] = []

    def noted(one: Callable[..., Any]) -> Callable[..., Any]:
        begun.append(one.__name__)
        return one

    (resumed,) = learn(project, step=noted)
    assert begun.count("train") == (1 if stage == "train" else 0), "what was finished is not done again"
    assert way(resumed) == way(undisturbed) and resumed.verdict == "promoted"
    assert resumed.training.losses == undisturbed.training.losses
    assert not list((project.work / "cycles").iterdir())


def test_a_budget_too_small_for_any_rung_is_told_and_leaves_the_champion(shop) -> None:
    project = shop()
    learn(project)
    text = project.config.read_text()
    arrives(project, "two", ["box", "loan"], seed=2)
    for bound, given in (("max_rows", 20), ("max_seconds", 0.001)):
        project.config.write_text(f"{text}\nclimb: {{{bound}: {given}}}\n")
        with pytest.raises(ConfigError, match=f"climb.{bound}: {given}: too small for any rung .* 'weak', the cheap"):
            learn(project)
    stores = connect(project, load(project.config))
    assert stores.ledger.champion("shop") == "1" and len(stores.registry.versions()) == 1
    project.config.write_text(text)
    (second,) = learn(project)
    assert second.experience.name == "two" and second.training is not None, "it has waited"


def tried(rows: int, *, passed: bool) -> Tried:
    training = Training(
        challenger="", experiences=["1"], epochs=1, steps=1, rows_new=rows, rows_learnt=rows, rows_recalled=0,
        seconds=rows / 100, validation_score=0.5, losses=[],
    )  # fmt: skip
    evaluation = Evaluation(
        metric="accuracy", challenger=[], accuracy=0.5, calibration_error=0, latency_ms=1, size_mb=1, predictions=""
    )
    verdict = Verdict(gate="floor", passed=passed, why="as asked")
    return Tried(training=training, evaluation=evaluation, gates=GateReport(passed=passed, verdicts=[verdict]))


def climbed(
    *, begin: str = "weak", enough: str = "", past: tuple[Climb, ...] = (), **bounds: float
) -> list[tuple[str, str]]:
    """Climb weak, full, joint with 100 new rows and 1,000 of the past; every rung learns what was expected of it."""
    config = parse({"ladder": [*TWO, JOINT], "training": {"epochs": 4}, "climb": bounds}, where="test")

    def attempt(rung: str | None, own: Config) -> Tried:
        cost = expected(own, USUAL, (), rung=str(rung), ladder=config)
        return tried(cost.rows, passed=rung == enough)

    found = climb(config, begin=begin, types=[], sizes=USUAL, past=past, attempt=attempt).climb
    assert found is not None
    return [(one.rung, one.skipped or ("passed" if one.passed else "refused")) for one in found.attempts]


def test_a_rung_that_does_not_fit_into_what_is_left_is_not_begun() -> None:
    tight = climbed(max_rows=1_000)
    assert tight[0] == ("weak", "refused")
    assert tight[1:] == [
        ("full", "it would learn about 1,600 rows, and climb.max_rows leaves 900"),
        ("joint", "it would learn about 4,400 rows, and climb.max_rows leaves 900"),
    ]
    assert climbed(max_rows=6_100) == [("weak", "refused"), ("full", "refused"), ("joint", "refused")]
    assert climbed(max_rows=6_099)[2][1].endswith("climb.max_rows leaves 4,399")


def test_where_nothing_from_the_first_rung_on_fits_the_dearest_one_below_is_tried() -> None:
    assert climbed(begin="joint", max_rows=2_000, enough="full") == [
        ("joint", "it would learn about 4,400 rows, and climb.max_rows leaves 2,000"),
        ("full", "passed"),
    ]


def test_seconds_that_rungs_have_taken_before_bound_what_is_begun() -> None:
    before = Climb(attempts=[Attempt(rung=name, rows=100, training_seconds=1.0) for name in ("weak", "full", "joint")])
    assert climbed(past=(before,), max_seconds=16.9) == [
        ("weak", "refused"),
        ("full", "it would take about 16 s, and climb.max_seconds leaves 16"),
        ("joint", "it would take about 44 s, and climb.max_seconds leaves 16"),
    ]


def test_of_a_rung_that_diverged_the_cost_counts_and_its_pace_does_not() -> None:
    config = parse({"ladder": [*TWO, JOINT], "training": {"epochs": 4}, "climb": {"max_rows": 1_640}}, where="test")

    def attempt(rung: str | None, own: Config) -> Tried:
        if rung == "weak":
            raise DivergedError("the loss is nan", rows=41, seconds=1.0)
        raise AssertionError(rung)

    with pytest.raises(DivergedError, match=r"rung 'weak': the loss is nan; rung 'full': not begun: .* leaves 1,599"):
        climb(config, begin="weak", types=[], sizes=USUAL, past=(), attempt=attempt)
    assert costs(Attempt(rung="full", rows=1_000, training_seconds=10.0, diverged="nan"), rung="full")[1] is None


def test_a_rung_below_is_tried_where_all_from_the_first_on_diverge() -> None:
    config = parse({"ladder": TWO}, where="test")

    def attempt(rung: str | None, own: Config) -> Tried:
        if rung == "full":
            raise DivergedError("the loss is nan")
        return tried(100, passed=True)

    found = climb(config, begin="full", types=[], sizes=USUAL, past=(), attempt=attempt).climb
    assert found is not None and [(one.rung, one.passed) for one in found.begun] == [("full", False), ("weak", True)]


def test_rungs_can_be_few() -> None:
    assert climbed(max_rungs=1)[1:] == [("full", "climb.max_rungs is 1"), ("joint", "climb.max_rungs is 1")]


def costs(*known: Attempt, rung: str, sizes: Sizes = USUAL) -> tuple[int, float | None]:
    ladder: Config = parse({"ladder": [SOLVE, *TWO, JOINT], "training": {"epochs": 4}}, where="test")
    found = expected(ladder.at(rung), sizes, known, rung=rung, ladder=ladder)
    return found.rows, found.seconds


def test_rows_are_expected_from_what_each_strategy_learns_in_an_epoch() -> None:
    assert costs(rung="weak") == (100, None)
    assert costs(rung="solve") == (1_100, None), "sums begin anew"
    assert costs(rung="solve", sizes=Sizes(100, 1_000, summed=True)) == (100, None)
    assert costs(rung="full") == (4 * (100 + 300), None), "three rows of the buffer for each new one"
    assert costs(rung="joint") == (4 * 1_100, None)


def test_seconds_are_expected_from_the_rungs_own_pace_or_from_that_of_another() -> None:
    own = Attempt(rung="full", rows=1_000, training_seconds=10.0, judged_seconds=2.0)
    assert costs(own, rung="full")[1] == pytest.approx(1_600 * 0.01 + 2)
    solved = Attempt(rung="solve", rows=1_000, training_seconds=1.0, judged_seconds=2.0)
    assert costs(solved, rung="full")[1] == pytest.approx(1_600 * 0.003 + 2), "a trained row is three passes"
    assert costs(Attempt(rung="full", skipped="too dear"), rung="full")[1] is None
