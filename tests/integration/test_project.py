"""The public door for Python: a project's life, as a notebook sees it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

import cl
from tests.support.tiny import made_sentences


@pytest.fixture
def project(tiny_model: Path, tmp_path: Path) -> cl.Project:
    settings = {
        "model": {"name": str(tiny_model), "max_length": 16},
        "training": {"epochs": 3, "batch_size": 8},
        "evaluation": {"robustness": [], "latency_calls": 3, "smoke_rows": 4},
        "gates": [{"name": "floor", "min": 0.1}],
        "drift": {"report": "off"},
    }
    return cl.Project.create(tmp_path / "shop", settings=settings)


def test_rows_of_a_frame_are_learned_answered_and_rolled_back(project) -> None:
    assert project.champion is None and "no champion yet" in project._repr_html_()
    (experience,) = project.ingest(made_sentences(["loan", "fee"], 60), name="may")
    assert (experience.id, experience.total) == ("0001-may", 60)
    (cycle,) = project.run()
    assert cycle.verdict == "promoted" and project.champion == "1"
    answers = project.predict(["loan loan loan", "fee fee"])
    assert list(answers.columns) == ["text", "prediction", "confidence", "version"]
    assert set(answers["prediction"]) <= {"loan", "fee"} and set(answers["version"]) == {"1"}
    assert project.run() == [] and project.ingest(made_sentences(["loan", "fee"], 60), name="may") == []

    project.ingest(made_sentences(["loan", "fee", "box"], 60, seed=1, prefix="s"), name="june")
    (second,) = project.run()
    assert second.verdict == "promoted" and [info.version for info in project.versions()] == ["1", "2"]
    entry = project.rollback(why="a test")
    assert (entry.from_version, entry.to_version, project.champion) == ("2", "1", "1")
    assert project.promote("2", why="back").action == "promote" and project.champion == "2"
    html = project.history()._repr_html_()
    assert html.count("<tr>") == 3 and "0002-june" in html
    assert ("<th>verdict</th>" in html and "0001-may" in second._repr_html_()) or "0002-june" in second._repr_html_()
    assert project.report().name == "index.html"
    opened = cl.Project.open(project.folder / "data")
    assert opened.folder == project.folder and opened.config.name == "shop"
    loaded = project.load("2")
    assert set(loaded.predict(["loan"]).columns) == {"label", "confidence"} and set(loaded.labels) == {
        "loan", "fee", "box",
    }  # fmt: skip


def test_a_frame_with_missing_values_is_checked_as_a_file_is(project) -> None:
    rows = made_sentences(["loan", "fee"], 40)
    rows.loc[3, "text"], rows.loc[5, "label"] = None, float("nan")
    (experience,) = project.ingest(rows)
    assert experience.name == "frame" and experience.quarantined_rows == 2


def test_what_is_wrong_is_said_as_on_the_command_line(project, tmp_path) -> None:
    with pytest.raises(cl.SourceError, match="a data frame: it has no row"):
        project.ingest(pd.DataFrame({"id": [], "text": [], "label": []}))
    with pytest.raises(cl.SourceError, match="no column 'label'"):
        project.ingest(pd.DataFrame({"id": ["1"], "text": ["a"]}))
    with pytest.raises(cl.PerennialError, match="has no champion yet"):
        project.predict(["a"])
    with pytest.raises(cl.InputError, match="already contains a project"):
        cl.Project.create(project.folder)
    with pytest.raises(cl.ConfigError, match="epoch"):
        cl.Project.create(tmp_path / "other", settings={"training": {"epoch": 3}})
    assert not (tmp_path / "other").exists()
    with pytest.raises(cl.InputError):
        cl.Project.open(tmp_path / "nowhere")


def test_the_template_keeps_its_comments_where_nothing_is_changed(tmp_path) -> None:
    plain = cl.Project.create(tmp_path / "plain")
    assert "# What this project learns" in (plain.folder / "cl.yaml").read_text()
    tagged = cl.Project.create(tmp_path / "tagged", task="token_classification")
    assert yaml.safe_load((tagged.folder / "cl.yaml").read_text())["task"] == "token_classification"


def test_frames_by_name_are_replayed_in_order(project, tmp_path) -> None:
    frames = {name: made_sentences(["loan", "fee"], 30, seed=n, prefix=name) for n, name in enumerate(("may", "june"))}
    config = project.config.model_copy(update={"seed": 3})
    (result,) = cl.backtest(config, frames, strategies=["naive"], out=tmp_path / "out", jobs=1)
    assert len(result.matrix) == 2 and (tmp_path / "out" / "report.html").exists()
    with pytest.raises(cl.InputError, match="cannot name an experience"):
        cl.backtest(config, {"a/b": frames["may"]}, strategies=["naive"], out=tmp_path / "bad")
