"""The lifecycle on Postgres: MLflow behind basic auth with proxied artifacts, Prefect, the ledger; and what leaks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.desk import Desk, new_desk
from tests.support.servers import Receiver
from tests.support.team import DATABASES, SECRETS, Team
from tests.support.tiny import made_sentences

pytestmark = [pytest.mark.alone, pytest.mark.nightly]
SPARE = f"""['remote "spare"']
    url = s3://bucket/rows
    access_key_id = me
    secret_access_key = {SECRETS["s3"]}
"""


class Member:
    """Somebody at a desk who writes down all that the commands say."""

    def __init__(self, desk: Desk, team: Team, webhook: str) -> None:
        self.desk, self.team, self.said = desk, team, ""
        self.environment = {**team.environment, "CHAT": webhook}

    def cl(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        done = warm.run("-v", *self.desk.arguments(*arguments), **{**self.environment, **changed})
        self.said += done.stdout + done.stderr
        return done

    def learn(self, name: str, labels: list[str], seed: int, *how: str, **changed: str) -> None:
        path = self.desk.project.parent / f"{name}.csv"
        made_sentences(labels, 80, seed=seed).to_csv(path, index=False)
        for command in (["ingest", str(path)], ["run", *how]):
            done = self.cl(*command, **changed)
            assert done.returncode == 0, done.stderr


def with_password(team: Team) -> str:
    """The tracking server as a careless member writes it."""
    return team.tracking_uri.replace("//", f"//admin:{SECRETS['admin']}@")


@pytest.fixture(scope="module")
def team(tmp_path_factory, postgres) -> Iterator[Team]:
    pytest.importorskip("flask_wtf", reason="MLflow's basic auth needs Flask-WTF: pip install 'perennial-ml[server]'")
    team = Team(tmp_path_factory.mktemp("team") / "servers", postgres)
    try:
        team.start()
        yield team
    finally:
        for name in list(team.processes):
            team.stop(name)


@pytest.fixture(scope="module")
def member(team, tmp_path_factory, tiny_model) -> Iterator[Member]:
    desk, receiver = new_desk(tmp_path_factory.mktemp("member") / "project", tiny_model), Receiver()
    desk.configure(
        stores={"tracking_uri": "env:TRACKING", "artifacts": None, "ledger_uri": "env:LEDGER"},
        triggers={"notify": {"webhook": "env:CHAT"}},
    )
    (desk.project / ".dvc" / "config.local").write_text(SPARE)
    yield Member(desk, team, f"{receiver.url}hook?token={SECRETS['webhook']}")
    receiver.close()


def test_two_versions_and_a_rollback_on_the_team_s_servers(member, team) -> None:
    member.learn("one", ["loan", "fee"], 1)
    in_the_url = {"TRACKING": with_password(team), "MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}
    member.learn("two", ["loan", "box"], 2, **in_the_url)
    status = member.desk.json("status", **team.environment)
    assert status["champion"] == "2" and [one["tags"]["cl.gates"] for one in status["versions"]] == ["passed"] * 2
    done = member.cl("rollback", "--why", "a test")
    assert done.returncode == 0 and "champion is version 1 again" in done.stdout

    assert len(list(team.files.rglob("head.safetensors"))) == 2, "the server keeps the files"
    assert not (member.desk.project / "mlflow" / "ledger.db").exists()
    assert "a test" in team.rows("team_ledger") and "0002-two" in team.rows("team_prefect")
    shutil.rmtree(member.desk.project / ".cl" / "versions")
    answer = member.desk.json("predict", "my loan", **team.environment)
    assert answer[0]["version"] == "1", "brought from the server, for it is nowhere else"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": "wr0ng-s3cret"}, "refuses user 'admin'; set MLFLOW_TRACKING_USERNAME and"),
        ({"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}, "asks for a user and a password; set"),
        ({"LEDGER": ""}, "stores.ledger_uri: the environment variable LEDGER is not set"),
        ({"LEDGER": "postgresql+psycopg2://me:wr0ng-s3cret@127.0.0.1:9/x"}, "the ledger at postgresql+psycopg2://127"),
    ],
)
def test_what_does_not_open_a_store_is_told_in_a_line(member, changed, told) -> None:
    inline = member.desk.cl("status", **{**member.environment, **changed})
    assert inline.returncode in (1, 2) and told in inline.stderr and inline.stderr.count("\n") == 1
    member.said += inline.stderr
    member.cl("status", **changed)
    assert "wr0ng-s3cret" not in member.said


def test_a_project_moves_from_sqlite_to_the_servers_and_goes_on(member, team, tmp_path, tiny_model) -> None:
    alone = Member(new_desk(tmp_path / "project", tiny_model), team, "http://127.0.0.1:9")
    alone.desk.configure(name="moved")
    alone.learn("one", ["loan", "fee"], 1, "--plain")
    before = alone.desk.json("status", **alone.environment)
    place = {"DATABASE": team.postgres.address(DATABASES[0])}
    to = ["--to-tracking", "env:DATABASE", "--to-artifacts", str(team.files), "--to-ledger", "env:LEDGER"]
    moved = alone.cl("move-stores", *to, **place)
    assert moved.returncode == 0 and "1 versions" in moved.stdout, moved.stderr

    alone.desk.configure(stores={"tracking_uri": team.tracking_uri, "artifacts": None, "ledger_uri": "env:LEDGER"})
    assert alone.desk.json("status", **alone.environment) == before
    shutil.rmtree(alone.desk.project / "mlflow")
    shutil.rmtree(alone.desk.project / ".cl" / "versions", ignore_errors=True)
    alone.learn("two", ["loan", "box"], 2, "--plain")
    status = alone.desk.json("status", **alone.environment)
    assert status["champion"] == "2" and len(status["versions"]) == 2
    member.said += alone.said


def test_no_secret_is_written_anywhere(member, team) -> None:
    """Last: servers are stopped under a running project, and everything that was ever written is read."""
    assert member.cl("report").returncode == 0
    rows = member.desk.project.parent / "three.csv"
    made_sentences(["fee"], 60, seed=3).to_csv(rows, index=False)
    assert member.cl("ingest", str(rows)).returncode == 0
    user = {"LEDGER": f"{member.environment['LEDGER']}?application_name=x&password={SECRETS['postgres']}"}
    assert member.cl("status", **user).returncode == 0
    team.stop("mlflow")
    for arguments in (["run"], ["run", "--plain"], ["rollback"]):
        assert member.cl(*arguments).returncode == 1
    path = member.desk.project / "cl.yaml"
    secret = with_password(team)
    path.write_text(path.read_text().replace("env:TRACKING", secret))
    assert member.cl("run", "--plain").returncode == 1
    path.write_text(path.read_text().replace(secret, f"{secret}: {{"))
    assert member.cl("status").returncode == 2
    path.write_text(path.read_text().replace(f"{secret}: {{", "env:TRACKING"))

    kept = {"said": member.said.encode(), **{name: team.rows(name).encode() for name in DATABASES}}
    places = (member.desk.project, team.files, Path(team.environment["PREFECT_HOME"]), team.folder / "prefect")
    for place in places:
        kept |= {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    kept |= {name: team.log(name).read_bytes() for name in ("mlflow", "prefect")}
    del kept[str(member.desk.project / ".dvc" / "config.local")]
    assert len(kept) > 100
    leaks = [(where, name) for where, text in kept.items() for name, one in SECRETS.items() if one.encode() in text]
    assert not leaks
