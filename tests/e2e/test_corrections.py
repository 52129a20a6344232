"""A correction reaches everything: data, buffers, closed forms, test rows, the drift reference, and the next update."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from cl.cli.main import cl
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.models.snapshot import load_reference
from cl.records import SPLITS
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_folder import load_history
from cl.training.strategies import load_states
from tests.support.forgetting import RANPAC, arrives, shop, version
from tests.support.tiny import made_sentences


def command(project: ProjectFolder, *words: str) -> str:
    done = CliRunner().invoke(cl, [*words, "-p", str(project.root)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def correct(project: ProjectFolder, each: int) -> pd.DataFrame:
    """Correct so many rows of each split of the first experience from fee to loan, and return them."""
    at = open_project(project.root)
    parts = [at.stores.experiences.rows("0001-one", split).query("label == 'fee'").head(each) for split in SPLITS]
    rows = pd.concat(parts).assign(label="loan")
    rows[["id", "text", "label"]].to_csv(project.root / "mended.csv", index=False)
    said = command(project, "ingest", "--corrections", str(project.root / "mended.csv"))
    assert f"0002-mended: {len(rows)} rows" in said and f"{len(rows)} in place of earlier rows" in said
    return rows


@pytest.mark.parametrize("strategy", ["replay", RANPAC], ids=["replay", "ranpac"])
def test_what_was_learned_wrong_is_learned_again_and_nothing_keeps_it(tmp_path, tiny_model, strategy) -> None:
    project = shop(tmp_path / "shop", tiny_model, strategy=strategy)
    arrives(project, "one", made_sentences(["loan", "fee"], 120, seed=1))
    run_waiting(project)
    before = load_reference(version(project, "1")).frame
    rows = correct(project, each=2)
    (cycle,) = run_waiting(project)

    assert cycle.decision.action == "learn" and cycle.promotion is not None
    assert "6 rows that the champion has learned were corrected since" in cycle.decision.reasons
    for state in load_states(version(project, "2")).values():
        if state.rows is not None and "label" in state.rows:
            assert set(state.rows[state.rows["id"].isin(rows["id"])]["label"]) <= {"loan"}
    reference = load_reference(version(project, "2")).frame
    assert set(reference[reference["id"].isin(rows["id"])]["label"]) <= {"loan"}
    assert before["id"].isin(rows["id"]).any(), "the first version's reference had some"
    answers = open_project(project.root).stores.registry.runs.evaluated(cycle.id, tmp_path)
    assert answers is not None
    judged = pd.read_parquet(answers)
    tested = judged[judged["id"].isin(rows["id"])]
    assert len(tested) == 2 and set(tested["target"]) == {"loan"}
    assert load_history(version(project, "2")).corrections == 1
    assert "corrected 0001-one (6 rows)" in command(project, "lineage", "2")

    arrives(project, "three", made_sentences(["loan", "fee"], 60, seed=3))
    (third,) = run_waiting(project)
    assert not any("corrected" in reason for reason in third.decision.reasons), "what was learned again is done"


def test_a_closed_form_is_what_it_would_be_had_the_rows_been_right_from_the_start(tmp_path, tiny_model) -> None:
    mended, right = (
        shop(tmp_path / name, tiny_model, strategy=RANPAC, decide={"min_rows": 1}) for name in ("mended", "right")
    )
    sentences = made_sentences(["loan", "fee"], 120, seed=1)
    arrives(mended, "one", sentences)
    run_waiting(mended)
    rows = correct(mended, each=2)
    run_waiting(mended)
    arrives(right, "one", sentences[~sentences["id"].isin(rows["id"])])
    run_waiting(right)
    rows[["id", "text", "label"]].to_csv(right.root / "mended.csv", index=False)
    command(right, "ingest", str(right.root / "mended.csv"))
    run_waiting(right, again="0002-mended")
    ours, theirs = (load_learner(version(project, "2")).head.state_dict() for project in (mended, right))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-4, rtol=1e-3)


def test_without_being_asked_a_correction_is_set_aside_with_the_remedy(tmp_path, tiny_model) -> None:
    project = shop(tmp_path / "shop", tiny_model)
    arrives(project, "one", made_sentences(["loan", "fee"], 60, seed=1))
    command(project, "ingest", str(project.root / "inbox" / "one.csv"))
    wrong = made_sentences(["loan", "fee"], 60, seed=1).assign(label="box")
    wrong.to_csv(project.root / "wrong.csv", index=False)
    done = CliRunner().invoke(cl, ["ingest", str(project.root / "wrong.csv"), "-p", str(project.root)])
    assert "known id with another text or label 60" in str(done.exception)
    assert "cl ingest --corrections" in str(done.exception)


def test_what_is_forgotten_after_it_was_corrected_leaves_no_trace_in_the_record(tmp_path, tiny_model) -> None:
    from cl.stores.data.correction_records import read_corrections
    from cl.stores.data.fingerprints import hash_texts

    project: ProjectFolder = shop(Path(tmp_path / "shop"), tiny_model, strategy=RANPAC)
    arrives(project, "one", made_sentences(["loan", "fee"], 120, seed=1))
    run_waiting(project)
    rows = correct(project, each=1)
    run_waiting(project)
    gone = rows["id"].iloc[0]
    command(project, "forget", "--where", f"id == '{gone}'", "--why", "a wish")
    (correction,) = read_corrections(project)
    assert f"{hash_texts([gone])[0]:016x}" not in correction.ids
    assert len(correction.ids) == len(correction.contents) == 2
