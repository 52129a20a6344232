"""A student that a person asks for, from its making to what it learns as the champion."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from cl.cli.main import cl
from cl.commands.export import export_version
from cl.commands.gates import read_verdicts, replay_gates
from cl.commands.lineage import trace_lineage
from cl.commands.predict import predict_file, predict_texts
from cl.commands.promotion import promote_version
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.opened import open_project
from tests.support.taught import folder_of, taught_project  # noqa: F401
from tests.support.templates import copied
from tests.support.tiny import made_sentences


@pytest.fixture
def untrained(taught, tmp_path, tiny_model):
    """A copy of the project whose students learn nothing: a new head on the model that the teacher began with."""
    nothing = {"student": {"model": str(tiny_model)}, "epochs": 1, "learning_rate": 1e-9}
    training = {"batch_size": 8, "learning_rate": 1e-9, "head_learning_rate": 1e-9, "precision": "float32"}
    return copied(taught, tmp_path / "shop", distil=nothing, training=training)


def test_the_rows_that_a_student_loses_are_shown_with_both_answers(untrained, tmp_path) -> None:
    def answer(*arguments: str) -> str:
        return CliRunner().invoke(cl, [*arguments, "-p", str(untrained.root)]).stdout

    assert answer("distil", "1")
    stores = open_project(untrained.root).stores
    student = stores.registry.versions()[-1]
    rows = pd.read_parquet(stores.registry.runs.evaluated(student.tags[CYCLE_ID], tmp_path))
    lost = rows[rows["champion_score"] > rows["challenger_score"]]
    assert len(rows) > len(lost) > 10, "a head that has learned nothing gives all rows one answer or two"

    shown = answer("gates", student.version).split("\nRight before, wrong now:\n")[1].splitlines()
    assert len(shown) == min(20, len(lost))
    listed = {row["id"]: row for row in json.loads(answer("gates", student.version, "--json"))["lost"]}
    assert len(listed) == len(shown) and set(listed) <= set(lost["id"])
    assert all(row["champion"] == row["target"] != row["challenger"] for row in listed.values())
    for line, row in zip(shown, listed.values(), strict=True):
        assert line.startswith(f"  0001-one {row['id']}: {row['target']}; was {row['champion']} (")
        assert f", now {row['challenger']} (" in line and line.endswith(row["text"])
    assert "Right before" not in answer("gates", "1"), "no version came before it"


def test_by_hand_a_student_becomes_the_challenger_is_promoted_and_goes_on_learning(taught, tmp_path) -> None:
    root = str(taught.root)
    asked = taught.root / "asked.csv"
    made_sentences(["loan"], 5, seed=9, prefix="asked").to_csv(asked, index=False)
    predict_file(taught.root, str(asked), None)
    asked.unlink()
    done = CliRunner().invoke(cl, ["distil", "1", "-p", root], catch_exceptions=False)
    assert done.exit_code == 0 and "it is now the challenger; to promote it: cl promote 2" in done.stdout
    at = open_project(taught.root)
    info = at.stores.registry.versions()[-1]
    assert info.tags["cl.parent"] == "1" and info.tags["cl.form"] == "student" and info.aliases == ["challenger"]
    assert at.stores.ledger.champion("shop") == "1", "nothing has moved"
    again = CliRunner().invoke(cl, ["distil", "1", "--json", "-p", root], catch_exceptions=False)
    assert json.loads(again.stdout)["version"] == "2" and len(at.stores.registry.versions()) == 2

    told = CliRunner().invoke(cl, ["gates", "2", "-p", root], catch_exceptions=False).stdout
    assert told.startswith("0001-one: derived, version 2, gates: enforce") and "pass       floor" in told
    (size,) = (row for row in read_verdicts(taught.root, "2")["measured"] if row["words"] == "size on disk, MB")
    assert size["challenger"] < size["champion"] and size["words"] in told
    between = (size["challenger"] + size["champion"]) / 2
    (taught.root / "policy.yaml").write_text(f"gates: [{{name: ceiling, metric: size_mb, max: {between}}}]")
    now = replay_gates(taught.root, taught.root / "policy.yaml")
    assert [(one["version"], one["then"], one["now"]) for one in now] == [("1", True, False), ("2", True, True)]

    promote_version(taught.root, "2", alias="champion", share=None, why="as agreed", despite_gates=False)
    small = CliRunner().invoke(cl, ["distil", "2", "--int8", "-p", root], catch_exceptions=False)
    assert small.exit_code == 0 and at.stores.registry.versions()[-1].tags["cl.form"] == "int8"
    promote_version(taught.root, "3", alias="champion", share=None, why="as agreed", despite_gates=False)
    assert load_learner(folder_of(taught, "3")).is_int8
    assert predict_texts(taught.root, ["my card is lost loan"])[0]["prediction"] == "loan"
    told = export_version(taught.root, "3", tmp_path / "out")
    assert (tmp_path / "out" / "transformers").exists() and "transformers" in told["loads"][1]

    made_sentences(["loan", "lamp"], 60, seed=3).to_csv(taught.root / "inbox" / "two.csv", index=False)
    cycle = run_waiting(taught)[-1]
    assert cycle.verdict == "promoted" and [one.form for one in cycle.derived] == ["int8"]
    line = trace_lineage(taught.root, str(cycle.champion_after))["versions"]
    assert [(one["version"], one["form"]) for one in line] == [
        ("5", "int8"),
        ("4", None),
        ("2", "student"),
        ("1", None),
    ], "what has learnt is the student in floats"
    assert load_learner(folder_of(taught, "5")).depth == 1
    at.stores.registry.tag_version("3", "cl.smoke", "failed")
    by_hand, teacher = (read_verdicts(taught.root, one) for one in ("3", "4"))
    assert not by_hand["passed"] and by_hand["verdicts"][-1]["gate"] == "smoke test"
    assert teacher["verdict"] == "superseded" and teacher["verdicts"] and not teacher["lost"], "its rows are not stored"
