"""A project from its first row to a rollback, through the command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support import warm
from tests.support.desk import Desk, new_desk
from tests.support.tiny import made_sentences
from tests.support.versions import assert_same_version


def ingest(desk, rows, name: str) -> None:
    path = desk.project.parent / f"{name}.csv"
    rows.assign(channel=["app", "web"] * (len(rows) // 2)).to_csv(path, index=False)
    done = desk.cl("ingest", str(path))
    assert done.returncode == 0, done.stderr


def test_a_project_learns_rests_learns_refuses_and_goes_back(desk, sentences) -> None:
    desk.configure(
        gates=[{"name": "floor", "min": 0.5}, {"name": "rule", "on": {"column": "channel"}, "min": 0.01}],
        data={"split": {"validation": 0.1, "test": 0.3}, "keep": ["channel"]},
    )
    desk.configure(
        ladder=[{"name": "quick", "epochs": 24}, {"name": "full"}],
        decide={"rung": {"new_classes": "full"}, "min_gain": None},
    )
    ingest(desk, sentences(["loan", "fee"], 120, seed=1), "one")
    (first,) = desk.json("run", "--plain")
    assert first["promotion"]["promoted"] and first["champion_after"] == "1"
    assert first["decision"]["rung"] == "quick" and first["training"]["epochs"] <= 24

    done = desk.cl("run", "--plain")
    assert (done.returncode, done.stdout.strip()) == (0, "nothing to do: no experience is waiting")

    ingest(desk, sentences(["loan", "fee"], 80, seed=2), "two")
    (second,) = desk.json("run", "--plain")
    assert second["decision"]["action"] == "none" and second["training"] is None

    ingest(desk, sentences(["loan", "box"], 120, seed=3), "three")
    (third,) = desk.json("run", "--plain")
    assert third["drift"]["new_labels"] == ["box"] and third["decision"]["rung"] == "full"
    assert third["training"]["experiences"] == ["0002-two", "0003-three"], "the quiet month is learnt along"
    assert third["champion_after"] == "2"
    assert third["evaluation"]["newest"] == "0003-three" and third["evaluation"]["updates"] == 2

    wrong = sentences(["loan", "fee", "box"], 300, seed=4)
    wrong["label"] = wrong["label"].sample(frac=1.0, random_state=0).to_numpy()
    ingest(desk, wrong, "four")
    done = desk.cl("run", "--plain")
    assert done.returncode == 3, done.stderr
    assert "refused by floor" in done.stdout

    told = desk.json("gates")
    assert told["version"] == "3" and not told["passed"] and 0 < len(told["lost"]) <= 20
    assert set(told["lost"][0]) == {
        "experience", "id", "target", "text",
        "champion", "champion_confidence", "challenger", "challenger_confidence",
    }  # fmt: skip
    assert {one["gate"] for one in told["table"]} == {"floor", "rule score on each channel"}
    assert [one["passed"] for one in desk.json("gates", "2")["verdicts"]] == [True, True]
    assert {one["group"] for one in told["table"]} == {"all", "app", "web"}
    tables = [pd.read_parquet(path) for path in (desk.project / "mlflow").rglob("gates.parquet")]
    assert len(tables) == 3 and all(next(iter(one["group"])) == "all" and len(one) == 3 for one in tables)
    assert all(one.dtypes.equals(tables[0].dtypes) for one in tables)
    (desk.project / "policy.yaml").write_text("gates: [{name: floor, min: 0.01}]")
    again = desk.json("gates", "--replay", str(desk.project / "policy.yaml"))
    assert [(one["version"], one["then"], one["now"]) for one in again] == [
        ("1", True, True), ("2", True, True), ("3", False, True),
    ]  # fmt: skip
    rule = "gates: [{name: rule, of: score, on: %s, min: 0.5}]"
    (desk.project / "policy.yaml").write_text(rule % "each_experience")
    again = desk.json("gates", "--replay", str(desk.project / "policy.yaml"))
    assert [one["now"] for one in again] == [True, True, False]
    (desk.project / "policy.yaml").write_text(rule % "{column: date}")
    refused = desk.cl("gates", "--replay", str(desk.project / "policy.yaml"))
    assert refused.returncode == 2 and "stored rows have no column 'date'" in refused.stderr
    (desk.project / "policy.yaml").write_text("seed: 3")
    refused = desk.cl("gates", "--replay", str(desk.project / "policy.yaml"))
    assert refused.returncode == 2 and "must have the keys gates, gate_policy or both" in refused.stderr

    status = desk.json("status")
    assert status["champion"] == "2" and status["waiting"] == []
    assert [version["tags"]["cl.gates"] for version in status["versions"]] == ["passed", "passed", "failed"]

    (answer,) = desk.json("predict", "my parcel box")
    assert answer["version"] == "2" and answer["prediction"] in {"loan", "fee", "box"}

    entry = desk.json("rollback", "--why", "a test")
    assert (entry["from_version"], entry["to_version"], entry["why"]) == ("2", "1", "a test")
    assert desk.json("status")["champion"] == "1"
    refused = desk.cl("rollback", "3")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr

    assert [cycle["experience"]["id"] for cycle in desk.json("history")] == [
        "0001-one",
        "0002-two",
        "0003-three",
        "0004-four",
    ]
    report = desk.json("report")["report"]
    assert "0004-four" in Path(report).read_text()

    ingest(desk, sentences(["loan", "box"], 80, seed=5), "five")
    (fifth,) = desk.json("run", "--plain")
    assert fifth["champion_before"] == "1" and fifth["drift"]["new_labels"] == ["box"], "the reference went back, too"


@dataclass(frozen=True)
class Undisturbed:
    """What one experience comes to when nothing goes wrong."""

    desk: Desk
    cycle: dict[str, Any]


def one_arrives(desk: Desk) -> None:
    ingest(desk, made_sentences(["loan", "fee"], 80, seed=1), "one")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model) -> Undisturbed:
    """A project that has learnt one experience; no test changes it."""
    desk = new_desk(tmp_path_factory.mktemp("undisturbed") / "project", tiny_model)
    one_arrives(desk)
    (cycle,) = desk.json("run", "--plain")
    assert [one["prediction"] for one in desk.json("predict", "my loan")] == ["loan"]
    return Undisturbed(desk, cycle)


def test_prefect_and_plain_end_in_the_same_version(desk, undisturbed) -> None:
    one_arrives(desk)
    (by_prefect,) = desk.json("run")
    assert by_prefect["promotion"]["promoted"]
    assert by_prefect["training"]["losses"] == undisturbed.cycle["training"]["losses"]
    desk.json("predict", "my loan")
    by_both = [one.project / ".cl/versions/1" for one in (desk, undisturbed.desk)]
    assert_same_version(*by_both)


def test_stock_mlflow_loads_and_serves_the_champion(undisturbed) -> None:
    desk = undisturbed.desk
    code = (
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri('sqlite:///{desk.project}/mlflow/mlflow.db')\n"
        "frame = pd.DataFrame({'text': ['my loan', 'the fee']})\n"
        "print(mlflow.pyfunc.load_model('models:/tiny@champion').predict(frame).to_dict('list'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=desk.project.parent)
    assert done.returncode == 0, done.stderr
    assert "'label': ['loan', 'fee']" in done.stdout


def test_a_changed_byte_in_this_machine_s_copy_is_named_and_the_copy_replaced(undisturbed, tmp_path) -> None:
    desk = Desk(tmp_path / "project")
    shutil.copytree(undisturbed.desk.project, desk.project)
    head = desk.project / ".cl/versions/1/head.safetensors"
    content = bytearray(head.read_bytes())
    content[-1] ^= 1
    head.write_bytes(content)
    done = desk.cl("predict", "loan")
    assert done.returncode == 0, done.stderr
    assert "head.safetensors was changed" in done.stderr and "downloaded from the registry again" in done.stderr
    assert head.read_bytes() != bytes(content)


def assert_ended_like(desk, undisturbed) -> None:
    (cycle,) = desk.json("history")
    status = desk.json("status")
    assert cycle["promotion"]["promoted"]
    assert cycle["training"]["losses"] == undisturbed.cycle["training"]["losses"]
    assert cycle["evaluation"]["challenger"] == undisturbed.cycle["evaluation"]["challenger"]
    assert status["champion"] == "1" and status["waiting"] == []
    assert [version["version"] for version in status["versions"]] == ["1"]
    assert status["versions"][0]["aliases"] == ["champion"]
    assert not list((desk.project / ".cl/cycles").glob("*"))


@pytest.mark.nightly
@pytest.mark.parametrize(
    "finished",
    [
        "start",
        "validate",
        "detect_drift",
        "estimate_gain",
        "decide",
        "train",
        "evaluate",
        "gate",
        "register",
        "smoke_test",
    ],
)
def test_killed_while_a_step_works_and_run_again_it_ends_as_if_undisturbed(desk, undisturbed, finished) -> None:
    one_arrives(desk)
    run = desk.start("run", "--plain")
    while not list((desk.project / ".cl/cycles").rglob(f"{finished}.json")):
        assert run.poll() is None, f"it ended without a record of '{finished}'"
        time.sleep(0.005)
    time.sleep(0.05)  # into the step that follows
    run.kill()
    run.communicate()
    desk.cl("run", "--plain")
    assert_ended_like(desk, undisturbed)


@pytest.mark.nightly
@pytest.mark.parametrize("stage", ["train", "register", "smoke_test", "promote", "record_cycle"])
def test_killed_at_the_end_of_a_step_and_run_again_it_ends_as_if_undisturbed(desk, undisturbed, stage) -> None:
    one_arrives(desk)
    killer = (
        "import os, signal, sys\n"
        f"import cl.{'cycle.attempt' if stage == 'train' else 'lifecycle'} as caller\n"
        f"real = caller.{stage}\n"
        "def deadly(*args, **kwargs):\n"
        "    result = real(*args, **kwargs)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"deadly.__name__ = '{stage}'\n"
        "deadly.__annotations__ = real.__annotations__; deadly.__wrapped__ = real\n"
        f"caller.{stage} = deadly\n"
        "from cl.commands.run import run_cycles; from pathlib import Path\n"
        "run_cycles(Path(sys.argv[1]), again=None, runner='plain')\n"
    )
    killed = subprocess.run([sys.executable, "-c", killer, str(desk.project)], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    desk.cl("run", "--plain")
    assert_ended_like(desk, undisturbed)


def test_of_two_runs_at_once_one_works_and_the_other_says_so(desk, tmp_path) -> None:
    one_arrives(desk)
    arguments = desk.arguments("run", "--plain")
    runs = [warm.start(tmp_path / name, warm.nothing, *arguments) for name in ("first", "second")]
    ends = sorted((run.end() for run in runs), key=lambda end: end.code)
    assert [end.code for end in ends] in ([0, 1], [0, 0]), [end.err for end in ends]
    loser = ends[1]
    if loser.code:
        assert loser.is_one_line and "another cycle is running here (process" in loser.err
    assert len(desk.json("history")) == 1
