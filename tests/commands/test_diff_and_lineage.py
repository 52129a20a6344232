"""Two versions of one small project, compared and traced back through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from cl.cli import cl
from cl.commands.opening import opened
from cl.commands.versions import flat, versions_of
from cl.errors import InputError
from cl.lifecycle import learn
from cl.stores.local import Project
from tests.conftest import made_sentences, tiny_project


def ask(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(cl, [*arguments, "-p", str(project.root)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_model) -> Project:
    """A project with two versions; the second knows one label more, and was trained for longer."""
    project = tiny_project(tmp_path_factory.mktemp("shop") / "shop", tiny_model, gates=[{"name": "floor", "min": 0.0}])
    for name, labels, seed in (("one", ["loan", "fee"], 1), ("two", ["loan", "box"], 2)):
        made_sentences(labels, 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)
        learn(project)
        project.config.write_text(project.config.read_text().replace("epochs: 25", "epochs: 30"))
    return project


def test_a_diff_tells_scores_configuration_data_and_labels(shop) -> None:
    found = json.loads(ask(shop, "diff", "1", "2", "--json").stdout)
    versions = versions_of(opened(shop.root))
    tables = [
        pd.read_parquet(versions.at.stores.registry.evaluated(versions.cycles[at].id, shop.work / str(at)))
        for at in (0, 1)
        if not (shop.work / str(at)).mkdir(parents=True, exist_ok=True)
    ]
    total, first = found["experiences"]
    assert (total["name"], first["name"]) == ("all", "0001-one"), "only what both were tested on"
    assert total["rows"] == len(tables[0]) and total["from"] == pytest.approx(tables[0]["challenger_score"].mean())
    theirs = tables[1][tables[1]["experience"] == "0001-one"]["challenger_score"]
    assert first["to"] == pytest.approx(theirs.mean()) and first["won"] - first["lost"] == pytest.approx(
        theirs.sum() - tables[0]["challenger_score"].sum()
    )
    assert {one["name"] for one in found["classes"]} == {"loan", "fee"}
    assert found["config"] == {"training.epochs": [25, 30]}
    assert found["data"]["added"] == ["0002-two"] and found["data"]["rows_added"] == 60
    assert found["labels"] == {"added": ["box"], "removed": []} and found["packages"] == {}
    assert all(size > 0 for size in found["size_mb"])

    back = json.loads(ask(shop, "diff", "2", "1", "--json").stdout)
    assert back["labels"]["removed"] == ["box"] and back["data"]["removed"] == ["0002-two"]
    text = ask(shop, "diff", "1", "2").stdout
    assert "training.epochs: 25 -> 30" in text and "box" in text


def test_a_version_beside_itself_differs_in_nothing(shop) -> None:
    same = json.loads(ask(shop, "diff", "2", "2", "--json").stdout)
    assert same["config"] == {} and same["data"]["added"] == []
    assert all(one["from"] == one["to"] and not one["lost"] for one in same["experiences"])


def test_a_version_that_is_not_there_is_told_with_those_that_are(shop) -> None:
    for arguments in (("diff", "1", "9"), ("lineage", "9")):
        done = ask(shop, *arguments)
        assert isinstance(done.exception, InputError) and "there are: 1, 2" in str(done.exception)


def test_a_lineage_ends_at_the_pretrained_weights(shop, tiny_model) -> None:
    found = json.loads(ask(shop, "lineage", "2", "--json").stdout)
    second, first = found["versions"]
    cycles = versions_of(opened(shop.root)).cycles
    assert (second["parent"], first["parent"]) == ("1", None) and found["base_model"] == str(tiny_model)
    assert (second["learnt"], first["learnt"]) == (["0002-two"], ["0001-one"])
    assert [second["cycle"], first["cycle"]] == [cycles[1].id, cycles[0].id]
    assert second["verdict"] == "promoted" and second["aliases"] == ["champion"]
    assert second["data_version"] == cycles[1].data_version and second["config_digest"] != first["config_digest"]
    assert second["seed"] == 17 and {"torch", "python"} <= set(second["packages"]) and second["machine"]["threads"]
    text = ask(shop, "lineage", "2").stdout
    assert text.startswith("version 2 (champion): promoted") and f"└─ {tiny_model} (pretrained)" in text


def test_a_version_from_before_there_were_records_is_read_from_its_files(shop, monkeypatch) -> None:
    versions = versions_of(opened(shop.root))
    written = versions.history("1")
    monkeypatch.setattr("cl.stores.mlflow_files.RECORD", "not-there")
    assert versions.history("1") == written and versions.evaluation("1") is not None


def test_nested_keys_become_dotted_ones() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}
