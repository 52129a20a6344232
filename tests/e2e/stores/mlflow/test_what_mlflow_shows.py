"""What somebody sees who looks at a project in MLflow: metrics, epochs, descriptions, reports and model cards."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, metadata_load

from cl.commands.export import export_version
from cl.commands.promotion import promote_version
from cl.config import load
from cl.lifecycle import run_waiting
from cl.promotion.by_hand import rollback
from cl.records import Cycle
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from tests.support.tiny import QUICK, made_sentences, tiny_project

LABELS = ["loan", "fee"]
HOSTILE = "<script>alert(1)</script> [x](http://evil.example) **bold** @all"
"""A label as an unkind user might write it."""


@dataclass(frozen=True)
class Shown:
    """A project after three months, of which the last was refused, and its MLflow client."""

    project: ProjectFolder
    stores: Stores
    cycles: list[Cycle]

    @property
    def client(self) -> Any:
        return self.stores.registry.runs.client

    def metrics(self, cycle: Cycle) -> dict[str, float]:
        return dict(self.client.get_run(cycle.run).data.metrics)

    def page(self, version: str) -> str:
        return self.stores.registry.description(version)


@pytest.fixture(scope="module")
def learned(tmp_path_factory, tiny_model) -> Path:
    gates = [{"name": "floor", "min": 0.05}, {"name": "ceiling", "metric": "forgetting_max", "max": 0.99}]
    project = tiny_project(
        tmp_path_factory.mktemp("shown") / "shop",
        tiny_model,
        training={**QUICK, "epochs": 3, "patience": 3},
        gates=gates,
        decide={"min_gain": 0.0},
        evaluation={"smoke_rows": 0, "baselines": False, "robustness": [], "latency_calls": 4},
    )
    for month, labels in (("one", LABELS), ("two", [*LABELS, HOSTILE])):
        rows = made_sentences(labels, 60, seed=len(month), prefix=month)
        rows.drop(columns="date").to_csv(project.root / "inbox" / f"{month}.csv", index=False)
        run_waiting(project)
    config = project.config.read_text().replace("min: 0.05", "min: 1.0")
    project.config.write_text(config)
    rows = made_sentences(["box", *LABELS], 60, seed=9, prefix="three")
    rows.drop(columns="date").to_csv(project.root / "inbox" / "three.csv", index=False)
    run_waiting(project)
    return project.root


@pytest.fixture
def shown(learned, tmp_path) -> Shown:
    project = ProjectFolder(shutil.copytree(learned, tmp_path / "shop"))
    stores = open_stores(project, load(project.config))
    return Shown(project, stores, stores.registry.runs.cycles())


def test_no_metric_is_there_twice_under_two_names_or_in_its_history(shown) -> None:
    measured = [shown.metrics(cycle) for cycle in shown.cycles]
    values = {name: tuple(metrics.get(name) for metrics in measured) for name in set().union(*measured)}
    mine = {
        name: of for name, of in values.items() if name.startswith("challenger/") and "score/" not in name and any(of)
    }
    assert len(set(mine.values())) == len(mine), sorted(mine.items(), key=lambda each: str(each[1]))
    assert not {"accuracy", "champion", "calibration_error", "latency_ms"} & set(values)
    for cycle, metrics in zip(shown.cycles, measured, strict=True):
        for name in set(metrics) - {"loss", "validation_score"}:
            assert len(shown.client.get_metric_history(cycle.run, name)) == 1, name


def test_the_mean_of_the_experiences_is_called_a_mean(shown) -> None:
    cycle = shown.cycles[1]
    metrics = shown.metrics(cycle)
    scores = [value for name, value in metrics.items() if name.startswith("challenger/score/")]
    assert len(scores) == 2 and metrics["challenger/mean_accuracy"] == pytest.approx(sum(scores) / 2)
    assert metrics["challenger/mean_accuracy"] == cycle.evaluation.accuracy


def test_the_champions_numbers_are_a_group_of_their_own(shown) -> None:
    first, second = (shown.metrics(cycle) for cycle in shown.cycles[:2])
    assert not [name for name in first if name.startswith("champion")], "a first version has no champion beside it"
    champion = {name for name in second if name.startswith("champion")}
    assert all(name.startswith("champion/") for name in champion)
    assert {"champion/mean_accuracy", "champion/ece", "champion/score/0001-one"} <= champion
    challenger = {name for name in second if name.startswith("challenger/")}
    assert {name.replace("champion/", "challenger/") for name in champion} <= challenger, "the same names"
    groups = sorted({name.rpartition("/")[0] for name in challenger | champion})
    assert groups == ["challenger", "challenger/score", "champion", "champion/score"], "MLflow sorts them by name"


def test_each_epoch_has_a_loss_and_a_validation_score(shown) -> None:
    for cycle in shown.cycles:
        series = {name: shown.client.get_metric_history(cycle.run, name) for name in ("loss", "validation_score")}
        steps = {name: [point.step for point in points] for name, points in series.items()}
        assert steps["loss"] == steps["validation_score"] == list(range(1, cycle.training.epochs + 1))
        scores = [point.value for point in series["validation_score"]]
        assert scores == cycle.training.validation_scores and max(scores) == cycle.training.validation_score


def test_a_versions_page_says_what_it_learnt_how_it_was_judged_and_what_became_of_it(shown) -> None:
    first, second, refused = (shown.page(version) for version in "123")
    assert first.startswith("Status: former champion.") and "`cl rollback 1 --why TEXT`" in first
    assert second.startswith("Status: champion since 20") and "learnt 0002-two" in second.splitlines()[0]
    assert refused.startswith("Status: refused by its gates")
    for page, cycle in zip((first, second, refused), shown.cycles, strict=True):
        assert f"Learnt {cycle.experience.id}" in page and f"{cycle.training.rows_new:,} new rows" in page
        assert f"{100 * cycle.evaluation.accuracy:.1f} %" in page
        assert "cl promote" in page and "cl audit --repair mlflow" in page
        assert len(page) <= 4_000
    assert "no champion yet" in first and "- floor: fail." in refused


def test_the_models_page_names_the_champion_and_the_commands(shown) -> None:
    page = shown.stores.registry.model_description()
    assert page.startswith("Status: version 2 serves since") and "cl promote VERSION --why TEXT" in page


def test_the_pages_follow_a_rollback_an_override_and_a_withdrawal(shown) -> None:
    registry, ledger, root = shown.stores.registry, shown.stores.ledger, shown.project.root
    rollback(registry, ledger, None, why="a *complaint*")
    assert shown.page("1").splitlines()[0].endswith("a \\*complaint\\*")
    assert shown.page("2").startswith("Status: former champion")
    assert registry.model_description().startswith("Status: version 1 serves")
    promote_version(root, "3", alias="champion", share=None, why="we need it", despite_gates=True)
    assert "despite its gates: we need it" in shown.page("3").splitlines()[0]
    assert shown.page("3").partition("\n\n")[2].startswith("Learnt 0003-three"), "the rest stays"
    promote_version(root, "2", alias="canary", share=0.1, why="a try", despite_gates=True)
    assert shown.page("2").startswith("Status: canary with 10% of the requests")


def test_what_a_person_wrote_in_mlflow_stays(shown) -> None:
    registry = shown.stores.registry
    registry.describe_version("1", "our own words")
    registry.describe_model("the model of the shop")
    rollback(registry, shown.stores.ledger, None, why="back")
    assert shown.page("1") == "our own words" and registry.model_description() == "the model of the shop"


def test_a_label_is_data_on_every_page(shown, tmp_path) -> None:
    export_version(shown.project.root, "2", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    note = shown.client.get_run(shown.cycles[1].run).data.tags["mlflow.note.content"]
    for text in (shown.page("2"), card.split("---\n", 2)[2], note):
        assert "alert" in text, "the label is there"
        assert not [part for part in ("<script", "[x](", "**bold**", "@all", "http://evil") if part in text]


def test_the_report_of_a_cycle_lies_with_its_run_once_and_shows_no_text_of_a_row(shown) -> None:
    for cycle in shown.cycles:
        (report,) = shown.client.list_artifacts(cycle.run, "report")
        assert report.path == "report/report.html" and report.file_size < 200_000
    last = shown.cycles[-1]
    page = Path(shown.client.download_artifacts(last.run, "report/report.html", str(shown.project.root))).read_text()
    assert last.experience.id in page and "refused" in page and "cl report" in page
    assert "0001-one" not in page.split('id="cycles"')[1].split('id="matrix"')[0], "of this cycle alone"
    texts = shown.stores.experiences.rows_of([last.experience.id], "test")["text"]
    assert not [text for text in texts if text in page]


def test_the_card_of_a_version_and_of_an_export_is_valid_and_says_the_same_numbers(shown, tmp_path) -> None:
    folder = shown.stores.registry.download("2", tmp_path / "version")
    export_version(shown.project.root, "2", tmp_path / "export")
    evaluation = shown.cycles[1].evaluation
    for path in (folder / "README.md", tmp_path / "export" / "README.md"):
        assert metadata_load(path)["library_name"] == "perennial-ml"
        card = ModelCard.load(path)
        assert card.data.pipeline_tag == "text-classification" and card.data.model_name == "shop"
        assert card.data.base_model is None, "a folder of this machine is no model of the Hub"
        assert str(shown.project.root.parent) not in card.content
        results = {
            (result.dataset_config, result.metric_type): result.metric_value for result in card.data.eval_results
        }
        assert results[None, "accuracy"] == round(evaluation.accuracy, 4)
        for score in evaluation.challenger:
            assert results[score.experience, "accuracy"] == round(score.value, 4)
        assert "## Limits" in card.text and "floor pass" in card.text and "0001-one, 0002-two" in card.text
    exported = (tmp_path / "export" / "README.md").read_text()
    assert "# shop, version 2\n\nExported by `cl export`" in exported and "With transformers" in exported
    assert exported.count("cl.load_version") == 1, "how an export is used takes the place of how a version is loaded"
