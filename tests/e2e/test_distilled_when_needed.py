"""A challenger that only its price keeps from serving gives way to a cheaper version of itself, with no hand on it."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from cl.cli.main import cl
from cl.commands.lineage import trace_lineage
from cl.commands.predict import predict_texts
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.training.strategies import load_states
from tests.support.desk import new_desk
from tests.support.tiny import made_sentences, tiny_project

QUALITY = [{"name": "floor", "min": 0.5}, {"name": "no_regression", "margin": 0.1}]
DISTIL = {
    "when": {"gate": True},
    "student": {"layers": 1, "vocabulary": 40},
    "epochs": 15,
    "learning_rate": 3e-3,
}


def shop(folder, tiny_model, **changes) -> ProjectFolder:
    project = tiny_project(folder, tiny_model, gates=QUALITY, strategy="replay", **changes)
    arrives(project, "one", ["loan", "fee", "box"])
    return project


def arrives(project: ProjectFolder, name: str, labels: list[str]) -> None:
    rows = made_sentences(labels, 150, seed=len(name))
    rows.to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def bounded(project: ProjectFolder, **changes) -> None:
    raw = yaml.safe_load(project.config.read_text())
    project.config.write_text(yaml.safe_dump({**raw, **changes}))


def sizes(project: ProjectFolder) -> tuple[float, float]:
    """Return the size of the version that serves, and of a student of it, in MB: what a gate can tell apart."""
    done = CliRunner().invoke(cl, ["distil", "1", "--json", "-p", str(project.root)], catch_exceptions=False)
    found = json.loads(done.stdout)
    return found["teacher_size_mb"], found["size_mb"]


def test_a_gate_that_only_the_price_breaks_leads_to_a_student_that_serves(tmp_path, tiny_model) -> None:
    scratch = shop(tmp_path / "scratch", tiny_model, distil=DISTIL)
    run_waiting(scratch)
    teacher, student = sizes(scratch)
    most = (teacher + student) / 2
    assert student < teacher

    project = shop(tmp_path / "shop", tiny_model, evaluation={"smoke_rows": 4})
    bounded(project, gates=[*QUALITY, {"name": "ceiling", "metric": "size_mb", "max": most}], distil=DISTIL)
    done = CliRunner().invoke(cl, ["run", "--plain", "--json", "-p", str(project.root)], catch_exceptions=False)
    (cycle,) = json.loads(done.stdout)
    assert done.exit_code == 0 and cycle["champion_after"] == "2"
    (derived,) = cycle["derived"]
    assert derived["form"] == "student" and derived["teacher"] == "1" and derived["passed"]
    assert derived["why"][0].startswith("ceiling size_mb refuses: the weights take")
    stores = open_project(project.root).stores
    assert [one.tags["cl.gates"] for one in stores.registry.versions()] == ["failed", "passed"]
    entry = stores.ledger.entries("shop")[-1]
    assert (entry.action, entry.from_version, entry.to_version) == ("promote", None, "2")
    assert predict_texts(project.root, ["my card is lost loan"])[0]["prediction"] == "loan"
    assert load_learner(stores.champion_folder("2")).depth == 1

    history = CliRunner().invoke(cl, ["history", "-p", str(project.root)], catch_exceptions=False).stdout
    assert (
        "student of version 1, because ceiling size_mb refuses" in history and "version 2 passes its gates" in history
    )
    line = trace_lineage(project.root, "2")["versions"]
    assert [(one["version"], one["verdict"]) for one in line] == [("2", "promoted"), ("1", "superseded")]

    bounded(project, evaluation={"smoke_rows": 0})  # the student has been loaded in a fresh process already
    arrives(project, "second", ["loan", "lamp"])
    (after,) = run_waiting(project)
    assert after.verdict == "promoted" and not after.derived, "the student has learnt on and is small enough"
    folder = stores.champion_folder(after.champion_after)
    assert load_learner(folder).depth == 1 and "lamp" in load_learner(folder).labels
    rows = load_states(folder)["replay"].rows
    assert set(rows["label"]) == {"loan", "fee", "box", "lamp"}, "its teacher's buffer was carried over"


@pytest.mark.nightly
def test_a_gate_that_only_the_latency_breaks_leads_to_a_student_of_the_minilm_that_serves(tmp_path, tiny_model) -> None:
    """A student of one of six layers takes about a sixth of the time; the bound is half of what was measured here."""
    desk = new_desk(tmp_path / "desk", tiny_model)
    student = {"layers": 1, "vocabulary": 2_000}
    desk.configure(
        model={"name": "minilm"},
        training={"epochs": 4, "batch_size": 16, "learning_rate": 2e-4},
        strategy="replay",
        evaluation={"latency_calls": 100, "robustness": [], "smoke_rows": 0},
        gates=QUALITY,
        distil={"when": {"gate": True}, "student": student, "forms": ["student"], "epochs": 8},
    )
    inbox = desk.project.parent / "one.csv"
    made_sentences(["loan", "fee", "box"], 120, seed=1).to_csv(inbox, index=False)
    assert desk.cl("ingest", str(inbox)).returncode == 0
    (first,) = desk.json("run", "--plain")
    assert first["champion_after"] == "1" and not first["derived"]
    measured = {one["name"]: one["challenger"] for one in desk.json("gates", "1")["measured"]}

    most = measured["latency_p50_ms"] / 2
    desk.configure(gates=[*QUALITY, {"name": "ceiling", "metric": "latency_ms", "max": most}])
    inbox = desk.project.parent / "two.csv"
    made_sentences(["loan", "lamp"], 80, seed=2).to_csv(inbox, index=False)
    assert desk.cl("ingest", str(inbox)).returncode == 0
    (cycle,) = desk.json("run", "--plain")
    (derived,) = cycle["derived"]
    (why,) = derived["why"]
    assert why.startswith("ceiling latency_ms refuses: one prediction takes"), "nothing else has refused the teacher"
    refused = [one["gate"] for one in desk.json("gates", "2")["verdicts"] if not one["passed"]]
    assert refused == ["ceiling latency_ms"]
    assert derived["teacher"] == "2" and derived["passed"] and not derived["refused_by"]
    assert derived["latency_ms"] <= most < derived["teacher_latency_ms"]
    assert (cycle["champion_before"], cycle["champion_after"]) == ("1", "3")
    stores = open_project(desk.project).stores
    assert [one.tags["cl.gates"] for one in stores.registry.versions()] == ["passed", "failed", "passed"]
    entry = stores.ledger.entries("tiny")[-1]
    assert (entry.action, entry.from_version, entry.to_version) == ("promote", "1", "3")
    served = load_learner(stores.champion_folder("3"))
    assert served.depth == 1 and set(served.labels) == {"loan", "fee", "box", "lamp"}
    assert desk.json("predict", "please send the lamp")[0]["prediction"] == "lamp"


@pytest.mark.nightly
def test_the_teacher_learns_and_its_student_is_derived_again_where_the_configuration_says_so(
    tmp_path, tiny_model
) -> None:
    wanted = {**DISTIL, "when": {"updates": 1}, "then": "teacher", "forms": ["student"]}
    project = shop(tmp_path / "shop", tiny_model, distil=wanted)
    run_waiting(project)
    arrives(project, "second", ["loan", "lamp"])
    (cycle,) = run_waiting(project)
    assert cycle.verdict == "promoted" and [one.form for one in cycle.derived] == ["student"]
    line = trace_lineage(project.root, str(cycle.champion_after))["versions"]
    assert [(one["version"], one["form"]) for one in line] == [("4", "student"), ("3", None), ("1", None)]
    depths = {one: load_learner(open_project(project.root).stores.champion_folder(one)).depth for one in ("3", "4")}
    assert depths == {"3": 2, "4": 1}


def test_a_student_that_fails_its_gates_leaves_the_champion_where_it_is(tmp_path, tiny_model) -> None:
    project = shop(tmp_path / "shop", tiny_model)
    run_waiting(project)
    gates = [{"name": "floor", "min": 0.9}, {"name": "ceiling", "metric": "size_mb", "max": 0.001}]
    bounded(project, gates=gates, distil={**DISTIL, "epochs": 1, "forms": ["student", "int8"]})
    arrives(project, "second", ["loan", "lamp"])
    (cycle,) = run_waiting(project)
    assert cycle.verdict == "refused" and cycle.champion_after == "1"
    assert [one.form for one in cycle.derived] in ([], ["student", "int8"])
    assert not any(one.passed for one in cycle.derived)
    assert open_project(project.root).stores.ledger.champion("shop") == "1"


class KilledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize(
    ("stage", "time"),
    [
        pytest.param("distil", 1, marks=pytest.mark.nightly),
        ("register", 2),
        pytest.param("promote", 1, marks=pytest.mark.nightly),
    ],
)
def test_a_cycle_that_is_killed_while_a_version_is_derived_ends_as_an_undisturbed_one(
    tmp_path, tiny_model, stage, time
) -> None:
    """The stage has done its work at that time, and its end is not written down."""
    project = shop(tmp_path / "shop", tiny_model, distil={**DISTIL, "when": {"updates": 1}, "forms": ["student"]})
    calls: list[str] = []

    def dying(function):
        def run(*args, **kwargs):
            record = function(*args, **kwargs)
            calls.append(function.__name__)
            if calls.count(stage) == time and function.__name__ == stage:
                raise KilledError
            return record

        return run

    with pytest.raises(KilledError):
        run_waiting(project, executor=lambda function: dying(function) if function.__name__ == stage else function)
    (cycle,) = run_waiting(project)
    assert cycle.verdict == "promoted" and [one.version for one in cycle.derived] == ["2"]
    assert [one.version for one in open_project(project.root).stores.registry.versions()] == ["1", "2"]
    assert len(open_project(project.root).stores.ledger.entries("shop")) == 1
