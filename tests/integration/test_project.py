"""The public door for Python: a project's life, as a notebook sees it."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

import cl
from tests.support.tiny import made_sentences


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
    result, *baselines = cl.backtest(config, frames, strategies=["naive"], out=tmp_path / "out", jobs=1)
    assert [other.name for other in baselines] == ["majority", "ncm", "regression"]
    assert all(len(other.matrix) == 2 for other in baselines)
    assert len(result.matrix) == 2 and (tmp_path / "out" / "report.html").exists()
    with pytest.raises(cl.InputError, match="cannot name an experience"):
        cl.backtest(config, {"a/b": frames["may"]}, strategies=["naive"], out=tmp_path / "bad")
