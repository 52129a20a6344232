"""A project whose labels are described: it answers before the first row, learns rows, and retracts descriptions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from cl.errors import ConfigError
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.project import Project
from cl.records import Cycle
from cl.reports.terminal.cycles import cycle_lines
from cl.stores.project_folder import ProjectFolder
from cl.training.strategies import load_states
from tests.support.forgetting import RANPAC, arrives, shop, version
from tests.support.tiny import made_sentences

SOURCE = {"name": "files", "path": "inbox"}
LOST, FEE, LOAN = "the card was lost or stolen", "what an account costs", "borrow money"


def described(folder: Path, tiny_model: Path, strategy: object = RANPAC, **texts: object) -> ProjectFolder:
    return shop(folder, tiny_model, strategy=strategy, data={"source": SOURCE, "descriptions": texts})


def describe(project: ProjectFolder, **texts: object) -> list[Cycle]:
    raw = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    raw["data"]["descriptions"] = texts
    project.config.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return run_waiting(project)


def learned(project: ProjectFolder, number: str) -> set[str]:
    (state,) = load_states(version(project, number)).values()
    assert state.rows is not None
    return set(state.rows["id"])


def stored(project: ProjectFolder) -> pd.DataFrame:
    parts = [pd.read_parquet(path) for path in sorted(project.experiences.glob("*-descriptions/train.parquet"))]
    return pd.concat(parts).set_index("text")


def test_a_project_without_a_row_answers_from_its_descriptions_and_says_that_nothing_is_measured(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = described(tmp_path / "shop", tiny_model, lost=LOST, fee=[FEE, "fees of an account"])
    (cycle,) = run_waiting(project)
    assert (cycle.verdict, cycle.experience.rows) == ("promoted", {"train": 3, "validation": 0, "test": 0})
    assert cycle.decision.reasons == [
        "no champion yet: this is the first model",
        "3 descriptions of labels are new: learned at once",
    ]
    assert "    answers from label descriptions alone; nothing measured yet" in cycle_lines([cycle])
    answers = Project(project.root).predict([LOST, FEE])
    assert answers["prediction"].tolist() == ["lost", "fee"]
    assert run_waiting(project) == []


def test_the_first_rows_are_learned_with_the_descriptions_however_few_they_are(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = described(tmp_path / "shop", tiny_model, lost=LOST, fee=FEE, loan=LOAN)
    run_waiting(project)
    arrives(project, "may", made_sentences(["lost", "fee"], 10))
    (cycle,) = run_waiting(project)
    rows = cycle.experience.rows
    assert 0 < rows["train"] < 20, "fewer than decide.min_rows"
    assert cycle.verdict == "promoted" and cycle.evaluation is not None and cycle.evaluation.rows == rows["test"]
    assert cycle.decision.reasons == [
        f"the champion answers from label descriptions alone, and {rows['train']} labelled training rows are there"
    ]
    assert set(stored(project)["id"]) < learned(project, "2")
    assert load_learner(version(project, "2")).labels == ["fee", "loan", "lost"], "no row is a loan"


def test_a_label_is_answered_on_the_day_it_is_described_if_the_gates_pass_on_the_past(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = described(tmp_path / "shop", tiny_model, "ncm")
    arrives(project, "may", made_sentences(["lost", "fee"], 80))
    run_waiting(project)
    (cycle,) = describe(project, loan=LOAN)
    assert cycle.evaluation is not None and set(cycle.evaluation.row) == {"0001-may"}
    assert (cycle.verdict, cycle.drift.new_labels) == ("promoted", ["loan"])
    assert Project(project.root).predict([LOAN])["prediction"].tolist() == ["loan"]


def test_a_changed_or_removed_description_is_in_no_later_training(tmp_path: Path, tiny_model: Path) -> None:
    project = described(tmp_path / "shop", tiny_model, lost=LOST, fee=FEE)
    arrives(project, "may", made_sentences(["lost", "fee"], 80))
    run_waiting(project)
    before = stored(project)["id"]
    assert set(before) < learned(project, "2")
    (cycle,) = describe(project, lost="a missing card", loan=LOAN)
    assert cycle.verdict == "promoted"
    after = stored(project)["id"]
    assert set(after.index) == {"a missing card", LOAN}
    assert set(after) < learned(project, "3") and not set(before) & learned(project, "3")


def test_a_description_that_is_removed_alone_starts_no_cycle_and_it_is_said_what_does(
    tmp_path: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = described(tmp_path / "shop", tiny_model, lost=LOST, fee=FEE, loan=LOAN)
    arrives(project, "may", made_sentences(["lost", "fee"], 80))
    run_waiting(project)
    removed = stored(project)["id"][LOAN]
    assert describe(project, lost=LOST, fee=FEE) == []
    assert "1 removed from data.descriptions: the next update learns without; to learn now: cl run --again 0001-" in (
        caplog.text
    )
    (cycle,) = run_waiting(project, again="0001-descriptions")
    assert cycle.verdict == "promoted"
    assert removed in learned(project, "2") and removed not in learned(project, "3")


def test_descriptions_that_are_all_rewritten_make_the_first_version_again(tmp_path: Path, tiny_model: Path) -> None:
    project = described(tmp_path / "shop", tiny_model, lost=LOST, fee=FEE)
    run_waiting(project)
    (cycle,) = describe(project, lost="a missing card", fee="the price of an account")
    assert cycle.verdict == "promoted" and learned(project, "2") == set(stored(project)["id"])


def test_a_description_that_contradicts_a_row_of_the_stream_is_named(tmp_path: Path, tiny_model: Path) -> None:
    project = described(tmp_path / "shop", tiny_model)
    rows = made_sentences(["lost", "fee"], 80)
    arrives(project, "may", rows)
    run_waiting(project)
    text = rows["text"][0]
    with pytest.raises(ConfigError, match=r"^data\.descriptions\.fee: '.+': the stream has this text with another lab"):
        describe(project, fee=text)
    assert describe(project, lost=text) == [], "the row says the same"


def test_a_description_of_a_retired_label_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    from cl.ingestion.describe_labels import ingest_descriptions
    from cl.stores.data.label_changes import LabelChange, write_label_change
    from cl.stores.opened import open_project

    project = described(tmp_path / "shop", tiny_model, fax="send a fax")
    write_label_change(project, LabelChange.example("retire", ["fax"], []))
    with pytest.raises(ConfigError, match=r"^data\.descriptions\.fax: 'send a fax': former label: 'fax' retired; "):
        ingest_descriptions(open_project(project.root).config, project)


def test_a_row_that_says_what_a_description_says_is_a_row_all_the_same(tmp_path: Path, tiny_model: Path) -> None:
    project = described(tmp_path / "shop", tiny_model, lost=LOST, fee=FEE)
    run_waiting(project)
    rows = pd.DataFrame({"id": ["1", "2", "3"], "text": [LOST, "my card", FEE], "label": ["lost", "lost", "lost"]})
    (experience,) = Project(project.root).ingest(rows)
    assert experience.total == 2 and experience.quarantined_rows == 1  # the third contradicts a description
    assert Project(project.root).ingest(rows.iloc[:1].assign(id="4")) == [], "now a row says the same"
