"""A project whose second batch annotates new entity types only: stored with it, learned, scored, shown and logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cl.config import load
from cl.lifecycle import run_waiting
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.registry.lineage import local_version
from cl.reports.entities import format_report
from cl.reports.terminal.cycles import cycle_lines
from cl.stores.data.experiences import Experiences
from cl.stores.stores import open_stores
from cl.tasks.token_classification import TokenClassification
from tests.support.entities import annotated_sentences
from tests.support.tiny import tiny_project


@pytest.fixture(scope="module")
def learned(tmp_path_factory, tiny_model):
    """A project that has learned people, then firms alone; and its two cycles."""
    project = tiny_project(
        tmp_path_factory.mktemp("entities") / "shop",
        tiny_model,
        task="token_classification",
        gates=[{"name": "floor", "min": 0.0}, {"name": "no_regression"}],
    )
    cycles = []
    for number, (types, annotated) in enumerate([({"PER"}, ["PER"]), ({"ORG"}, ["ORG"])], 1):
        settings = yaml.safe_load(project.config.read_text())
        settings["data"]["annotated"] = annotated
        project.config.write_text(yaml.safe_dump(settings))
        rows = annotated_sentences(120, types, seed=number).drop(columns="date")
        rows["tokens"] = [
            [*words, "old" if row % 2 else "new", f"{number}x{row}"] for row, words in enumerate(rows["tokens"])
        ]
        rows["tags"] = [[*tags, "O", "O"] for tags in rows["tags"]]
        if number == 2:
            rows.at[0, "tags"] = ["B-PER", *["O"] * (len(rows.at[0, "tokens"]) - 1)]
        path = project.root / "inbox" / f"{number}.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows.to_dict("records")))
        cycles += run_waiting(project)
    return project, cycles


def test_what_an_experience_annotates_is_stored_with_it_and_with_its_rows(learned) -> None:
    project, _ = learned
    first, second = Experiences(project).all()
    for experience, kind in ((first, "PER"), (second, "ORG")):
        assert experience.annotated == [kind]
        rows = Experiences(project).rows(experience.id, "train")
        assert {tuple(types) for types in rows["annotated"]} == {(kind,)}


def test_a_row_with_an_entity_of_another_type_is_set_aside(learned) -> None:
    project, _ = learned
    assert Experiences(project).all()[1].quarantined == {"an entity of a type that data.annotated does not name": 1}


def test_the_old_type_is_still_found_and_its_answers_on_the_new_rows_are_not_wrong(learned) -> None:
    project, cycles = learned
    assert [cycle.verdict for cycle in cycles] == ["promoted", "promoted"]
    stores = open_stores(project, load(project.config))
    learner = load_learner(local_version(stores, cycles[-1].champion_after).folder)
    rows = Experiences(project).rows(cycles[-1].experience.id, "test")
    answers = answer(learner, rows).values
    assert any("B-PER" in tags for tags in answers), "people occur in these sentences"
    every = TokenClassification().score(rows.drop(columns="annotated"), answers)["f1"]
    scored = cycles[-1].evaluation.challenger[-1]
    assert scored.value > 0.8 and scored.value > every
    assert cycles[-1].evaluation.row[cycles[0].experience.id] > 0.8


def test_the_report_of_entities_is_printed_shown_and_logged(learned) -> None:
    project, cycles = learned
    report = cycles[-1].evaluation.report
    assert {"PER", "ORG", "micro avg", "macro avg", "weighted avg"} <= set(report)
    text = format_report(report)
    assert text in "\n".join(cycle_lines(cycles)) and text not in "\n".join(cycle_lines(cycles, report=False))
    runs = open_stores(project, load(project.config)).registry.runs
    folder = runs.client.download_artifacts(cycles[-1].run, "evaluation")
    assert Path(folder, "classification_report.txt").read_text().rstrip("\n") == text
    metrics = runs.client.get_run(cycles[-1].run).data.metrics
    for average in ("micro", "macro", "weighted"):
        for metric in ("precision", "recall", "f1"):
            assert metrics[f"challenger/{average}_{metric}"] == pytest.approx(report[f"{average} avg"][metric])
    page = runs.client.download_artifacts(cycles[-1].run, "report/report.html")
    assert "weighted avg" in Path(page).read_text()
