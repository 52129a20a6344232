"""`--set`, `CL_SET` and `CL_PROJECT` reach every command, and what counted is on record."""

from __future__ import annotations

import json
import shutil

import click
import pytest

from cl.cli.main import cl
from cl.commands.init import scaffold
from tests.support.command import command
from tests.support.tiny import made_sentences

WORK = ["backtest", "distil", "forget", "gc", "ingest", "label", "predict", "run", "schedule", "serve", "tune"]


@pytest.fixture
def two(tmp_path):
    """Two new projects, called one and two."""
    return [scaffold(tmp_path / name).root for name in ("one", "two")]


@pytest.mark.parametrize("name", WORK)
def test_every_command_that_works_with_the_configuration_takes_settings(two, name, monkeypatch) -> None:
    monkeypatch.chdir(two[0])
    given = {"label": ["labels.csv"], "predict": ["hello"], "distil": ["1"], "ingest": ["x.csv"]}
    given |= {"forget": ["--where", "id == '1'"], "backtest": ["--data", "x.csv"]}
    said = command(name, *given.get(name, []), "--set", "training.epocs=1", PREFECT_API_URL="")
    assert said.code == 2 and "--set: training.epocs is not a known key; did you mean 'epochs'?" in said.err, said


def test_the_environment_names_the_project_and_the_option_wins(two, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = map(str, two)
    assert command("status").code == 2
    for name in ("status", "trigger", "schedule"):
        assert "PREFECT_API_URL" in command(name, CL_PROJECT=one).err or name == "status"
    said = command("config", "show", "--json", "-p", other, CL_PROJECT=one)
    assert '"two"' in said.out and '"one"' not in said.out
    assert '"one"' in command("config", "show", "--json", CL_PROJECT=one).out
    assert '"one"' in command("config", "show", "--json", "-p", "one").out
    monkeypatch.chdir(two[1])
    assert '"two"' in command("config", "show", "--json", CL_PROJECT="").out


def test_the_option_of_a_group_wins_over_the_environment_in_its_subcommands(two, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = two
    shutil.rmtree(one)
    for words in (["quarantine", "-p", str(other), "export", "a.csv"], ["labels", "-p", str(other)]):
        assert command(*words, CL_PROJECT=str(one)).code == 0
        assert command(*[word for word in words if word not in ("-p", str(other))], CL_PROJECT=str(one)).code == 2


def test_every_project_option_reads_the_environment() -> None:
    def walk(command: click.Command):
        yield command
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            yield from walk(inner)

    for each in walk(cl):
        for option in each.params:
            if option.name == "project":
                assert "CL_PROJECT" in str(option.show_default), each.name


def test_config_show_names_the_origin_of_every_setting(two, monkeypatch) -> None:
    root = two[0]
    (root / "cl.yaml").write_text("name: one\nseed: 17\nstrategy: replay\ntraining:\n  epochs: 3\n", encoding="utf-8")
    said = command("config", "show", "-p", str(root), "--set", "drift.report=off", CL_SET="{training.batch_size: 4}")
    lines = {line.partition(":")[0]: line.partition("# ")[2] for line in said.out.splitlines()}
    assert lines == {
        "name": "cl.yaml:1",
        "seed": "cl.yaml:2",
        "strategy": "cl.yaml:3",
        "training.epochs": "cl.yaml:5",
        "training.batch_size": "CL_SET",
        "drift.report": "--set",
        "ladder": "derived from other keys",
    }
    every = json.loads(command("config", "show", "--all", "--json", "-p", str(root)).out)
    origins = {entry["key"]: entry["from"] for entry in every}
    assert origins["model.max_length"] == "default" and origins["training.epochs"] == "cl.yaml"
    assert len(origins) > 100


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("stores.ledger_uri=postgresql://me:hunter2@db/cl", "postgresql://db/cl"),
        ("triggers.notify.webhook=env:HOOK", "env:HOOK"),
        ("data.source={name: sql, url: 'postgresql://me:hunter2@db/cl', query: select 1}", "postgresql://db/cl"),
        ("serve.tokens=env:TOKENS", "env:TOKENS"),
        ("data.tokens=words", "words"),
    ],
)
def test_config_show_hides_secrets_and_nothing_else(two, setting, shown) -> None:
    for more in ([], ["--json"]):
        said = command("config", "show", "-p", str(two[0]), "--set", setting, *more)
        assert said.code == 0 and shown in said.out and "hunter2" not in said.out + said.err, said


def test_a_version_records_the_configuration_that_counted(champion_shop, tmp_path) -> None:
    project = champion_shop(drift={"report": "off", "detectors": []})
    made_sentences(["loan", "fee"], 40, seed=2, prefix="two").to_csv(project.root / "inbox" / "two.csv", index=False)
    said = command(
        "run", "--plain", "--json", "-p", str(project.root), "--set", "decide.min_gain=0", "--set", "seed=99"
    )
    assert said.code in (0, 3), said
    (cycle,) = json.loads(said.out)
    assert cycle["training"] is not None
    version = cycle["promotion"]["version"]
    changed = json.loads(command("diff", "1", version, "--json", "-p", str(project.root)).out)["config"]
    assert changed["seed"][1] == 99 and changed["decide.min_gain"][1] == 0
    lineage = json.loads(command("lineage", version, "--json", "-p", str(project.root)).out)["versions"]
    assert lineage[0]["seed"] == 99 and lineage[1]["seed"] != 99


def test_a_source_that_holds_nothing_does_not_keep_experiences_waiting(champion_shop, tmp_path) -> None:
    project = champion_shop(drift={"report": "off", "detectors": []}, decide={"min_gain": None})
    shutil.rmtree(project.root / "inbox")
    missing = command("run", "--plain", "-p", str(project.root))
    assert missing.code == 2 and "inbox: no such file or folder" in missing.err

    (project.root / "inbox").mkdir()
    (project.root / "inbox" / ".hidden").touch()
    nothing = command("run", "--plain", "-p", str(project.root))
    assert nothing.code == 0 and "nothing to do" in nothing.out and "inbox holds no file" in nothing.err

    made_sentences(["loan", "fee"], 40, seed=2, prefix="two").to_csv(tmp_path / "two.csv", index=False)
    assert command("ingest", str(tmp_path / "two.csv"), "-p", str(project.root)).code == 0
    waiting = command("run", "--plain", "-p", str(project.root))
    assert waiting.code == 0 and "0002-two" in waiting.out and "inbox holds no file" in waiting.err

    (project.root / "inbox" / "notes.pdf").touch()
    unreadable = command("run", "--plain", "-p", str(project.root))
    assert unreadable.code == 2 and "no readable file" in unreadable.err
