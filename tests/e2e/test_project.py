"""The public door for Python: a project's life, as a notebook sees it."""

from __future__ import annotations

import cl
from tests.support.tiny import made_sentences


def test_rows_of_a_frame_are_learned_answered_and_rolled_back(project) -> None:
    assert project.champion is None and "no champion yet" in project._repr_html_()
    (experience,) = project.ingest(made_sentences(["loan", "fee"], 60), name="may")
    assert (experience.id, experience.total) == ("0001-may", 60)
    (cycle,) = project.run()
    assert cycle.verdict == "promoted" and project.champion == "1"
    answers = project.predict(["loan loan loan", "fee fee"])
    assert list(answers.columns) == ["text", "prediction", "confidence", "version", "out_of_scope"]
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
