"""Versions of one small project: compared, traced back, made again, and in the end collected."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from cl.cli.main import cl
from cl.commands._version_catalogue import flatten, read_versions
from cl.commands.gc import free_space
from cl.errors import InputError, StoreError
from cl.lifecycle import run_waiting
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import made_sentences, tiny_project


def ask(project: ProjectFolder, *arguments: str) -> Result:
    return CliRunner().invoke(cl, [*arguments, "-p", str(project.root)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_model) -> ProjectFolder:
    """A project with three versions; the second knows one label more than the first, and was trained for longer."""
    project = tiny_project(tmp_path_factory.mktemp("shop") / "shop", tiny_model, gates=[{"name": "floor", "min": 0.0}])
    for name, labels, seed in (("one", ["loan", "fee"], 1), ("two", ["loan", "box"], 2), ("three", ["fee", "shoe"], 3)):
        made_sentences(labels, 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)
        run_waiting(project)
        project.config.write_text(project.config.read_text().replace("epochs: 25", "epochs: 30"))
    return project


def test_a_diff_tells_scores_configuration_data_and_labels(shop) -> None:
    found = json.loads(ask(shop, "diff", "1", "2", "--json").stdout)
    versions = read_versions(open_project(shop.root))
    tables = [
        pd.read_parquet(versions.project.stores.registry.runs.evaluated(versions.cycles[at].id, shop.work / str(at)))
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
    only_second = len(tables[1]) - total["rows"]
    assert found["left_out"] == [{"version": "2", "experience": "0002-two", "rows": only_second}] and only_second > 0
    assert found["config"] == {"training.epochs": [25, 30]}
    assert found["data"]["added"] == ["0002-two"] and found["data"]["rows_added"] == 60
    assert found["labels"] == {"added": ["box"], "removed": []} and found["packages"] == {}
    assert all(size > 0 for size in found["size_mb"])

    back = json.loads(ask(shop, "diff", "2", "1", "--json").stdout)
    assert back["labels"]["removed"] == ["box"] and back["data"]["removed"] == ["0002-two"]
    text = ask(shop, "diff", "1", "2").stdout
    assert "training.epochs: 25 -> 30" in text and "box" in text
    assert f"left out: {only_second} rows of 0002-two, on which only version 2 was tested" in text


def test_a_version_beside_itself_differs_in_nothing(shop) -> None:
    same = json.loads(ask(shop, "diff", "2", "2", "--json").stdout)
    assert same["config"] == {} and same["data"]["added"] == [] and same["left_out"] == []
    assert all(one["from"] == one["to"] and not one["lost"] for one in same["experiences"])


def test_a_version_that_is_not_there_is_told_with_those_that_are(shop) -> None:
    for arguments in (("diff", "1", "9"), ("lineage", "9")):
        done = ask(shop, *arguments)
        assert isinstance(done.exception, InputError) and "there are: 1, 2, 3" in str(done.exception)


def test_a_lineage_ends_at_the_pretrained_weights(shop, tiny_model) -> None:
    found = json.loads(ask(shop, "lineage", "2", "--json").stdout)
    second, first = found["versions"]
    cycles = read_versions(open_project(shop.root)).cycles
    assert (second["parent"], first["parent"]) == ("1", None) and found["base_model"] == str(tiny_model)
    assert (second["learnt"], first["learnt"]) == (["0002-two"], ["0001-one"])
    assert [second["cycle"], first["cycle"]] == [cycles[1].id, cycles[0].id]
    assert second["verdict"] == "promoted" and second["aliases"] == []
    assert second["data_version"] == cycles[1].data_version and second["config_digest"] != first["config_digest"]
    assert second["seed"] == 17 and {"torch", "python"} <= set(second["packages"]) and second["machine"]["threads"]
    text = ask(shop, "lineage", "2").stdout
    assert text.startswith("version 2: promoted") and f"└─ {tiny_model} (pretrained)" in text


def test_a_version_from_before_there_were_records_is_read_from_its_files(shop, monkeypatch) -> None:
    versions = read_versions(open_project(shop.root))
    written = versions.history("1")
    monkeypatch.setattr("cl.stores.mlflow.version_files.RECORD", "not-there")
    assert versions.history("1") == written and versions.evaluation("1") is not None


def test_nested_keys_become_dotted_ones() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_that_is_trained_again_is_the_same_to_the_bit(shop) -> None:
    data, pointer = contents(shop.data), (shop.root / "data.dvc").read_bytes()
    done = ask(shop, "reproduce", "2", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["identical"] and found["compared"] >= 4
    assert found["apart"] == found["packages"] == found["machine"] == {}
    assert contents(shop.data) == data and (shop.root / "data.dvc").read_bytes() == pointer
    assert not list(shop.work.glob("reproduce-*"))


def test_a_version_that_comes_out_otherwise_is_told_with_what_else_differs(shop, monkeypatch) -> None:
    import cl.registry.reproduce as module

    real = module._read_config
    monkeypatch.setattr(
        module, "_read_config", lambda config, history: real(config, history).model_copy(update={"seed": 1})
    )
    monkeypatch.setattr(module, "package_versions", lambda: {"torch": "0.1"})
    done = ask(shop, "reproduce", "1", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and not found["identical"]
    assert found["apart"]["head.safetensors"] > 0 and found["packages"]["torch"][1] == "0.1"
    assert "pip install" in found["remedies"][0]


def test_data_that_the_remote_does_not_have_is_told(shop) -> None:
    remote = shop.work / "dvc-remote"
    remote.rename(shop.work / "away")
    done = ask(shop, "reproduce", "1")
    (shop.work / "away").rename(remote)
    assert isinstance(done.exception, StoreError) and "`dvc push` it from a machine" in str(done.exception)


def test_what_is_collected_frees_its_space_and_leaves_its_record(shop, monkeypatch) -> None:
    from cl.stores.mlflow.version_files import VersionFiles

    class KilledError(Exception):
        pass

    versions = read_versions(open_project(shop.root))
    registry = versions.project.stores.registry
    before, sizes = contents(shop.root), {one: registry.files.bytes_of(info) for one, info in versions.infos.items()}
    dry = json.loads(ask(shop, "gc", "--keep-last", "0", "--keep-days", "0", "--dry-run", "--json").stdout)
    assert dry["versions"] == {"1": sizes["1"]} and sizes["1"] > 10_000
    assert dry["kept"] == {"2": "target of cl rollback", "3": "champion"} and "versions/1" in dry["local"]
    assert set(contents(shop.root)) == set(before)
    assert json.loads(ask(shop, "gc", "--dry-run", "--json").stdout)["versions"] == {}, "the defaults keep the young"

    real = VersionFiles.delete_files

    def deadly(self, version):
        real(self, version)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(VersionFiles, "delete_files", deadly)
        with pytest.raises(KilledError):
            free_space(shop.root, keep_last=0, keep_days=0, dry_run=False)
    free_space(shop.root, keep_last=0, keep_days=0, dry_run=False)
    after = read_versions(open_project(shop.root))
    assert after.infos["1"].tags["cl.files"] == "removed" and registry.files.bytes_of(after.infos["1"]) == 0
    assert [registry.files.bytes_of(after.infos[one]) for one in ("2", "3")] == [sizes["2"], sizes["3"]]
    again = free_space(shop.root, keep_last=0, keep_days=0, dry_run=False)
    assert again.versions == {} and again.total == 0

    assert len(json.loads(ask(shop, "history", "--json").stdout)) == 3
    assert ask(shop, "report").exit_code == ask(shop, "status").exit_code == 0
    assert json.loads(ask(shop, "diff", "1", "3", "--json").stdout)["experiences"][0]["rows"] > 0
    assert "its files were removed by cl gc" in ask(shop, "lineage", "3").stdout
    assert "version 1 no longer has files" in str(ask(shop, "reproduce", "2").exception)
    assert "cannot be exported" in str(ask(shop, "export", "1", str(shop.root / "out")).exception)
    assert ask(shop, "export", "3", str(shop.root / "out")).exit_code == 0
    assert json.loads(ask(shop, "rollback", "--json").stdout)["to_version"] == "2"
    refused = ask(shop, "rollback")
    assert "version 1 of 'shop' cannot serve again: its files were removed by cl gc; there are: 2, 3" in str(
        refused.exception
    )
