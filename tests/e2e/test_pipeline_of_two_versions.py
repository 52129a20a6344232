"""Relations between the entities that another project's version finds, each with its own lineage."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from cl import config as configuration
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from tests.support.desk import Desk
from tests.support.pipelines import ingest, people_project, related_pairs, relations_project, tagged_sentences
from tests.support.servers import free_port, until
from tests.support.stages import without_stages

TEXT = "please help send old anna works at the bank"
EMPTY = "please help send old new old new old"


@dataclass(frozen=True)
class Pipeline:
    """Two projects, whose second one names the champion of the first as its tagger."""

    people: Desk
    relations: Desk


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, tiny_model) -> Pipeline:
    """Version 1 of the people knows people alone, version 2 also firms, and was promoted after the relations'."""
    folder = tmp_path_factory.mktemp("pipeline")
    people = people_project(folder / "people", tiny_model)
    relations = relations_project(folder / "relations", tiny_model, people)
    relations.configure(serve={"workers": 1, "poll_seconds": 0.2, "drain_seconds": 0.5})
    ingest(people, tagged_sentences(90, seed=1, firms=False), "a")
    run(people)
    ingest(relations, related_pairs(120, seed=3), "a")
    run(relations)
    ingest(people, tagged_sentences(90, seed=2), "b")
    run(people)
    return Pipeline(people, relations)


def run(desk: Desk) -> None:
    done = desk.cl("run", "--plain")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def named(pipeline: Pipeline) -> Iterator[Desk]:
    """The project of the relations, whose tagger a test may change."""
    path = pipeline.relations.project / "cl.yaml"
    before = path.read_text()
    yield pipeline.relations
    path.write_text(before)


@contextmanager
def damaged(pipeline: Pipeline, version: str) -> Iterator[None]:
    """A version of the tagger whose labels were changed, in its store and where the relations' project keeps it."""
    people = pipeline.people.project
    stored = open_stores(ProjectFolder(people), configuration.load(people / "cl.yaml")).registry.files
    kept = pipeline.relations.project / ".cl" / "taggers" / "people" / version
    files = [folder / "learner.json" for folder in (stored.learner_folder(version), kept) if folder and folder.exists()]
    before = [path.read_text() for path in files]
    assert before and "B-PER" in before[0]
    _rewrite(files, [content.replace("B-PER", "B-ORG") for content in before])
    try:
        yield
    finally:
        _rewrite(files, before)


def _rewrite(files: list[Path], contents: list[str]) -> None:
    for path, content in zip(files, contents, strict=True):
        path.unlink(missing_ok=True)  # it may share its bytes with others
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_a_tagger_is_part_of_what_a_version_was_evaluated_with(pipeline: Pipeline) -> None:
    (cycle,) = pipeline.relations.json("history")
    evaluation = cycle["evaluation"]
    assert evaluation["tagger"] == "people@1" and evaluation["accuracy"] == 1.0
    assert evaluation["numbers"]["end_to_end_f1"] == 0.0  # it knows no firm, so it finds no pair
    assert "end to end with people@1: F1 0.0 %; on marked spans 100.0 %" in pipeline.relations.cl("history").stdout


def test_a_new_tagger_is_seen_and_its_effect_is_measured(pipeline: Pipeline) -> None:
    status = pipeline.relations.json("status")["tagger"]
    assert (status["version"], status["evaluated_with"]) == ("people@2", "people@1")
    assert "the champion was evaluated with people@1: `cl evaluate`" in pipeline.relations.cl("status").stdout
    measured = pipeline.relations.json("evaluate")
    before, after = measured["end_to_end"]
    assert (before["tagger"], after["tagger"]) == ("people@1", "people@2")
    assert before["end_to_end_f1"] == 0.0 < 0.9 < after["end_to_end_f1"] and measured["accuracy"] == 1.0
    assert pipeline.relations.json("status")["tagger"]["evaluated_with"] == "people@2"
    assert pipeline.relations.json("lineage", "1")["versions"][0]["tagger"] == "people@2"
    assert pipeline.relations.json("status")["champion"] == "1"


def test_a_bare_text_gets_its_relations_with_both_versions(pipeline: Pipeline) -> None:
    answered, empty = pipeline.relations.json("predict", TEXT, EMPTY)
    (relation,) = answered["relations"]
    assert (answered["version"], answered["tagger"]) == ("1", "people@2")
    assert relation["relation"] == "works_at" and relation["confidence"] > 0.5
    assert relation["head"] == {"start": 21, "end": 25, "text": "anna", "type": "PER"}
    assert relation["tail"] == {"start": 39, "end": 43, "text": "bank", "type": "ORG"}
    assert empty["relations"] == []
    row = json.dumps({"text": TEXT, "head": [21, 25], "tail": [39, 43]})
    assert pipeline.relations.json("predict", row)[0]["prediction"] == "works_at"  # as without a tagger
    mixed = pipeline.relations.cl("predict", row, TEXT)
    assert mixed.returncode == 2 and "either bare texts" in mixed.stderr


def test_the_rows_of_a_file_without_spans_are_answered_and_logged_by_pair(pipeline: Pipeline, tmp_path) -> None:
    pd.DataFrame({"id": ["a", "b"], "text": [TEXT, EMPTY]}).to_csv(tmp_path / "in.csv", index=False)
    out = tmp_path / "out.csv"
    done = pipeline.relations.json("predict", "--from", str(tmp_path / "in.csv"), "--out", str(out))
    assert (done["answered"], done["tagger"]) == (2, "people@2")
    (written,) = pd.read_csv(out).to_dict("records")
    assert (written["id"], written["prediction"]) == ("a:21-25:39-43", "works_at")
    logged = Predictions(ProjectFolder(pipeline.relations.project)).of(["a:21-25:39-43", "a:39-43:21-25"])
    assert sorted(logged["prediction"]) == ["none", "works_at"] and set(logged["tagger"]) == {"people@2"}


def test_a_server_follows_the_tagger_and_a_rollback_of_it_leaves_the_champion_alone(pipeline: Pipeline) -> None:
    port = free_port()
    process = pipeline.relations.start("serve", "--port", str(port))
    url = f"http://127.0.0.1:{port}"

    def ask(**body: Any) -> httpx.Response:
        return httpx.post(f"{url}/predict", json=body, timeout=30)

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def follows(tagger: str) -> None:
        until(lambda: ask(text=TEXT).json()["tagger"] == tagger, seconds=60, what=tagger)

    try:
        until(lambda: answers() or process.poll() is not None, seconds=120, what="a server that is ready")
        follows("people@2")
        whole = ask(texts=[TEXT, EMPTY]).json()
        (relation,) = whole["predictions"][0]["relations"]
        assert (whole["version"], whole["role"], whole["model"]) == ("1", "champion", "relations")
        assert relation["relation"] == "works_at" and relation["head"]["text"] == "anna"
        assert whole["predictions"][1] == {"relations": []}
        row = {"text": TEXT, "head": [21, 25], "tail": [39, 43]}
        assert ask(input=row).json()["predictions"][0]["label"] == "works_at"
        assert ask(text=TEXT, input=row).status_code == 422 and ask(text=TEXT, top_k=2).status_code == 422
        stored = httpx.post(f"{url}/feedback", json={"id": relation["id"], "label": "visited"})
        assert stored.status_code == 200, stored.text
        with damaged(pipeline, "1"):
            back = pipeline.people.cl("rollback", "--why", "it was better")
            assert back.returncode == 0, back.stderr
            until(lambda: pipeline.relations.json("status")["tagger"]["version"] == "people@1", seconds=30)
            time.sleep(1.0)  # five polls
            whole = ask(text=TEXT).json()
            assert whole["tagger"] == "people@2", "a tagger that cannot be loaded finds no spans"
            assert whole["predictions"][0]["relations"][0]["relation"] == "works_at"
        follows("people@1")
        assert ask(text=TEXT).json()["predictions"] == [{"relations": []}]  # version 1 knows no firm
        again = pipeline.people.cl("promote", "2", "--why", "it is better after all")
        assert again.returncode == 0, again.stderr
        follows("people@2")
        assert ask(text=TEXT).json()["version"] == "1"
    finally:
        process.terminate()
        process.communicate(timeout=60)
    logged = Predictions(ProjectFolder(pipeline.relations.project)).of([relation["id"]]).to_dict("records")
    assert [(entry["prediction"], entry["version"], entry["tagger"]) for entry in logged] == [
        ("works_at", "1", "people@2")
    ]
    entries = pipeline.relations.json("audit")
    assert "people" not in json.dumps(entries)  # its moves are in its own ledger


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tagger": "nobody@champion"}, "no model 'nobody' in sqlite"),
        ({"tagger": "people@shadow"}, "has the alias shadow"),
        ({"tagger": "people@17"}, "no version 17 of 'people'"),
        ({"tagger": "relations@1", "tracking_uri": None}, "relations@1 is of task 'relation_extraction'"),
        ({"tracking_uri": "sqlite:///../elsewhere/mlflow.db"}, "no MLflow database"),
        ({"types": [["PER", "SHIP"]]}, "people@2 knows no entities of type 'SHIP'; it knows: ORG, PER"),
    ],
    ids=["model", "alias", "version", "task", "database", "types"],
)
def test_a_tagger_that_cannot_be_used_is_named_in_one_line(named: Desk, changes, words) -> None:
    named.configure(pipeline={"tagger": "people@champion", **registry(), **changes})
    for command in (["predict", TEXT], ["evaluate"], ["serve", "--port", str(free_port())]):
        done = named.cl(*command)
        (line,) = without_stages(done.stderr)
        assert done.returncode == 2 and words in line, (command, done.stderr)
    assert named.json("status")["tagger"]["named"] == changes.get("tagger", "people@champion")
    assert not (named.project.parent / "elsewhere").exists()


def registry() -> dict[str, str]:
    return {"tracking_uri": "sqlite:///../people/mlflow/mlflow.db"}


def test_a_cycle_ends_before_it_trains_where_its_tagger_cannot_be_used(named: Desk) -> None:
    ingest(named, related_pairs(40, seed=8), "b")
    named.configure(pipeline={"tagger": "nobody@champion", **registry()})
    done = named.cl("run", "--plain")
    assert done.returncode == 2 and "no model 'nobody'" in done.stderr and "train" not in done.stderr


def test_a_pinned_tagger_stays_and_a_damaged_one_is_refused(pipeline: Pipeline, named: Desk) -> None:
    named.configure(pipeline={"tagger": "people@1", **registry()})
    assert named.json("predict", TEXT)[0]["tagger"] == "people@1"
    with damaged(pipeline, "1"):
        done = named.cl("predict", TEXT)
    (line,) = without_stages(done.stderr)
    assert done.returncode == 2 and "pipeline.tagger: people@1 cannot be loaded" in line, done.stderr


def test_export_and_reproduce_take_the_version_alone(pipeline: Pipeline, tmp_path) -> None:
    done = pipeline.relations.cl("export", "1", str(tmp_path / "exported"))
    assert done.returncode == 0 and "the tagger people@champion is not in it" in done.stdout, done.stderr
    again = pipeline.relations.cl("reproduce", "1")
    assert again.returncode == 0, again.stdout
