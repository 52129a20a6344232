"""A student that a person asks for, from its making to what it learns as the champion."""

from __future__ import annotations

import json

from click.testing import CliRunner

from cl.cli.main import cl
from cl.commands.export import export_version
from cl.commands.gates import read_verdicts, replay_gates
from cl.commands.lineage import trace_lineage
from cl.commands.predict import predict_file, predict_texts
from cl.commands.promotion import promote_version
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.stores.opened import open_project
from tests.support.taught import folder_of, taught_project  # noqa: F401
from tests.support.tiny import made_sentences


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
    assert "size on disk, MB" in told and "Right before, wrong now:" in told
    (taught.root / "policy.yaml").write_text("gates: [{name: floor, min: 1.0}]")
    now = replay_gates(taught.root, taught.root / "policy.yaml")
    assert [(one["version"], one["then"], one["now"]) for one in now] == [("1", True, True), ("2", True, False)]

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
