"""The page for the team over HTTP: who may read and decide, what is shown, and that looking leaves no trace."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from cl.commands.promotion import promote_version
from cl.monitoring.triggers import TrafficCheck
from cl.records import Drift, Finding, LedgerEntry
from cl.stores.opened import open_project
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from tests.support import traffic
from tests.support.servers import until
from tests.support.team_page import ANA, BEN, EVIL, TeamServer, learn, state_of, team_page, waiting_project
from tests.support.tiny import made_sentences

HOSTILE = "a <b>bold</b> & 'quoted' name"


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_model) -> Path:
    """A folder of two projects, one with a hostile name, whose versions wait; and three that are broken."""
    folder = tmp_path_factory.mktemp("team")
    project = waiting_project(folder / "bank" / HOSTILE, tiny_model)
    shutil.copytree(project.root, folder / "shop")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "cl.yaml").write_text("name: [")
    shutil.copytree(project.root, folder / "lost")
    (folder / "lost" / "mlflow" / "mlflow.db").unlink()
    shutil.copytree(project.root, folder / "garbled")
    (folder / "garbled" / "mlflow" / "ledger.db").write_bytes(b"no database " * 100)
    return folder


@pytest.fixture(scope="module")
def server(made, tmp_path_factory) -> Iterator[TeamServer]:
    with team_page(made, tmp_path_factory.mktemp("log") / "ui.log") as server:
        yield server


@pytest.fixture(scope="module")
def unguarded(made, tmp_path_factory) -> Iterator[TeamServer]:
    """A server on this machine alone, which needs no token."""
    with team_page(made, tmp_path_factory.mktemp("log") / "ui.log", tokens=None) as server:
        yield server


@dataclass(frozen=True)
class Copy:
    """A project of the folder for one test, in which it may decide."""

    server: TeamServer
    root: Path

    @property
    def address(self) -> str:
        return f"api/projects/{self.server.key(self.root.name)}"

    def shown(self) -> Any:
        return self.server.get(self.address)

    def decide(self, yes: bool = True, why: str = "fine", **options: Any) -> httpx.Response:
        return self.server.ask(f"{self.address}/decision", body={"version": "1", "yes": yes, "why": why}, **options)

    def ledger(self) -> list[LedgerEntry]:
        project = open_project(self.root)
        return project.stores.ledger.entries(project.config.name)


@pytest.fixture
def copy(made, server, request) -> Iterator[Copy]:
    root = made / f"copy-{abs(hash(request.node.name))}"
    shutil.copytree(made / "shop", root)
    listed = lambda: root.name in {entry["path"] for entry in server.get("api/projects")["projects"]}  # noqa: E731
    until(listed, seconds=30, what="the new project")
    yield Copy(server, root)
    shutil.rmtree(root)


def test_all_projects_are_shown_with_their_timeline_and_what_waits(server: TeamServer) -> None:
    paths = [entry["path"] for entry in server.get("api/projects")["projects"]]
    assert paths == sorted(paths) and {f"bank/{HOSTILE}", "damaged", "garbled", "lost", "shop"} <= set(paths)
    project = server.project(f"bank/{HOSTILE}")
    assert project["problems"] == [] and project["name"] == "shop" and project["champion"] is None
    assert project["approval"]["version"] == "1" and project["approval"]["gates"][0]["gate"] == "floor"
    (row,) = project["timeline"]["rows"]
    assert (row["experience"], row["decision"], row["verdict"]) == ("0001-batch-1", "learn", "waiting")
    assert row["reasons"] and row["score"].startswith("mean accuracy") and row["forgotten"] == "0.0 points"
    assert [entry["state"] for entry in project["waiting"]["experiences"]] == ["later"]


@pytest.mark.parametrize(
    ("path", "says"),
    [("damaged", "is not YAML"), ("lost", "MLflow's database is missing"), ("garbled", "file is not a database")],
)
def test_a_broken_project_says_what_is_wrong_in_a_line(server: TeamServer, path, says) -> None:
    problems = server.project(path)["problems"]
    assert any(says in line for line in problems) and all("\n" not in line and len(line) <= 400 for line in problems)
    assert server.project("shop")["problems"] == []


def test_a_project_whose_ledger_is_damaged_still_shows_its_cycles(server: TeamServer) -> None:
    project = server.project("garbled")
    assert project["timeline"]["total"] == 1 and project["approval"] is None


@pytest.mark.parametrize("token", [None, "wrong", "Ana", f"Ana:{ANA}"])
@pytest.mark.parametrize("path", ["api/projects", "api/projects/{key}", "api/projects/{key}/cycles"])
def test_without_a_valid_token_nothing_is_shown(server: TeamServer, token, path) -> None:
    answer = server.ask(path.format(key=server.key("shop")), token=token)
    assert answer.status_code in (401, 429) and "shop" not in answer.text.replace("--host", "")


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_valid_token_nobody_decides(server: TeamServer, token) -> None:
    body = {"version": "1", "yes": True, "why": "let me in"}
    assert server.ask(f"api/projects/{server.key('shop')}/decision", token=token, body=body).status_code in (401, 429)
    assert server.project("shop")["approval"]["version"] == "1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Host": "evil.example"},
    ],
    ids=str,
)
def test_another_page_cannot_decide_even_where_no_token_is_needed(unguarded: TeamServer, headers) -> None:
    body = {"version": "1", "yes": True, "why": "from elsewhere"}
    answer = unguarded.ask(f"api/projects/{unguarded.key('shop')}/decision", token=None, body=body, **headers)
    assert answer.status_code in (403, 415, 421), answer.text
    assert unguarded.project("shop")["approval"]["version"] == "1"


def test_another_page_cannot_read_either(server: TeamServer) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = server.ask("api/projects", **headers)
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("yes", "action", "champion"), [(True, "approve", "1"), (False, "reject", None)])
def test_a_decision_is_in_the_ledger_with_the_name_of_the_person(copy: Copy, yes, action, champion) -> None:
    answer = copy.decide(yes, "  seen <b>by</b> us  ", Origin=copy.server.url)
    assert answer.status_code == 200, answer.text
    entries = copy.ledger()
    assert entries[-1].action == action and entries[-1].why == "seen <b>by</b> us"
    assert entries[-1].actor.startswith("Ana on the team's page, ")
    project = copy.shown()
    assert project["approval"] is None and (project["champion"] or {}).get("version") == champion
    again = copy.decide(yes)
    assert again.status_code == 409 and "no longer waits" in again.json()["message"]
    assert copy.ledger() == entries


def test_who_has_a_token_without_a_name_decides_as_the_page(copy: Copy) -> None:
    assert copy.decide(token=BEN).status_code == 200
    assert copy.ledger()[-1].actor.startswith("the team's page, ")


@pytest.mark.parametrize(
    "change",
    [{"why": ""}, {"why": "  \n"}, {"why": "a" * 3_000}, {"why": None}, {"yes": "yes"}, {"version": "2"}, {"more": 1}],
    ids=["empty", "blank", "long", "null", "text", "another version", "more"],
)
def test_a_decision_without_a_reason_or_about_another_version_is_refused(server: TeamServer, change) -> None:
    body = {"version": "1", "yes": True, "why": "fine"} | change
    answer = server.ask(f"api/projects/{server.key('shop')}/decision", body=body)
    assert answer.status_code == 422 and 0 < len(answer.json()["message"]) <= 500
    assert server.project("shop")["approval"]["version"] == "1"


def test_while_a_cycle_runs_the_page_shows_the_project_and_refuses_the_decision(copy: Copy) -> None:
    with ProjectFolder(copy.root).lock():
        assert copy.shown()["approval"]["version"] == "1"
        answer = copy.decide()
        assert answer.status_code == 409 and "another cycle is running" in answer.json()["message"]


def test_looking_writes_nothing(server: TeamServer, made: Path) -> None:
    before = state_of(made)
    for entry in server.get("api/projects")["projects"]:
        key = entry["key"]
        for path in ("", "/cycles?skip=0", "/alarm?id=0001-batch-1", "/quarantine?experience=0001-batch-1"):
            server.ask(f"api/projects/{key}{path}")
        server.ask(f"api/projects/{key}/report", body={})
    assert state_of(made) == before


def test_links_out_of_the_folder_are_not_followed(made, tmp_path) -> None:
    folder, outside = tmp_path / "team", tmp_path / "outside"
    shutil.copytree(made / "shop", folder / "shop")
    shutil.copytree(made / "shop", outside / "secret")
    (folder / "linked").symlink_to(outside / "secret")
    (folder / "only-config").mkdir()
    (folder / "only-config" / "cl.yaml").symlink_to(outside / "secret" / "cl.yaml")
    for name, part in [("data-out", "data"), ("reports-out", "reports"), ("finished-out", ".cl/finished")]:
        shutil.copytree(made / "shop", folder / name)
        shutil.rmtree(folder / name / part, ignore_errors=True)
        (folder / name / part).symlink_to(outside / "secret" / part)
    with team_page(folder, tmp_path / "ui.log") as server:
        assert {entry["path"] for entry in server.get("api/projects")["projects"]} == {
            "shop", "data-out", "reports-out", "finished-out",
        }  # fmt: skip
        for name in ("data-out", "reports-out", "finished-out"):
            (problem,) = server.project(name)["problems"]
            assert "symbolic link out of the team's folder" in problem
            for path in ("cycles", "quarantine?experience=0001-batch-1"):
                assert server.ask(f"api/projects/{server.key(name)}/{path}").status_code == 422


@pytest.mark.parametrize("key", ["../../etc", "..%2f..%2fetc", "0" * 16, "shop", "%00", "é"])
def test_a_request_names_no_path(server: TeamServer, key) -> None:
    assert server.ask(f"api/projects/{key}").status_code in (404, 422)


def test_alarms_on_served_traffic_name_the_rows_to_label(copy: Copy) -> None:
    project = ProjectFolder(copy.root)
    traffic.serve(project, ["loan", "fee"], 30, 5, datetime.now(UTC) - timedelta(hours=1), labelled=1)
    ids = sorted(Predictions(project).sample("", "9", most=100)["id"])
    first = made_sentences(["loan", "fee"], 30, seed=5)["id"][0]
    finding = Finding(
        detector="novelty", kind="inputs", drifted=True, p_value=0.001, summary=EVIL, examples=[first, *ids]
    )
    drift = Drift(experience="traffic-0001", drifted=True, findings=[finding])
    check = TrafficCheck(champion="1", since="", until="2026-01-01T00:00:00+00:00", rows=30, drift=drift)
    (project.work / "traffic").mkdir()
    (project.work / "traffic" / "00000001.json").write_text(check.model_dump_json())
    shown = copy.shown()
    (alarm,) = shown["alarms"]
    assert alarm["on_traffic"] and alarm["examples"] == 20 and alarm["detectors"][0]["summary"] == EVIL
    assert shown["waiting"]["feedback"] == 1
    rows = copy.server.get(f"{copy.address}/alarm?id=traffic-0001")
    assert len(rows) == 20 and [row["labelled"] for row in rows] == [True, *[False] * 19]
    assert rows[0]["id"] == first and rows[0]["prediction"] == "loan" and rows[0]["text"]


def test_a_project_that_does_not_answer_holds_no_other_up(copy: Copy) -> None:
    """A pipe in place of a record, which nobody writes to, stands for a file system that has gone."""
    (record,) = (copy.root / ".cl" / "finished").glob("*.json")
    text = record.read_text()
    record.unlink()
    os.mkfifo(record)
    for _ in range(2):
        answer = copy.server.ask(copy.address)
        assert answer.status_code == 503 and "still being read" in answer.json()["message"]
    assert copy.server.project("shop")["approval"]["version"] == "1"
    pipe = record.rename(record.with_suffix(".pipe"))
    record.write_text(text)  # first, so that nobody opens the pipe once more
    pipe.write_text(text)
    pipe.unlink()
    until(lambda: copy.server.ask(copy.address).status_code == 200, seconds=60, what="the slow project")
    assert copy.shown()["timeline"]["total"] == 1


def test_files_of_the_source_wait_until_they_are_ingested(copy: Copy) -> None:
    inbox = copy.root / "inbox"
    (inbox / "<script>.csv").write_text("id,text,label\n")
    (inbox / "notes.txt.bak").write_text("no data")
    assert copy.shown()["waiting"]["files"] == ["inbox/<script>.csv"]
    read = inbox / "batch-1.csv"
    os.utime(read, (later := datetime.now(UTC).timestamp() + 60, later))
    assert copy.shown()["waiting"]["files"] == ["inbox/<script>.csv", "inbox/batch-1.csv"]


def test_the_timeline_comes_by_pages(copy: Copy) -> None:
    """Older cycles are those of the same run under more names: what a project of years has."""
    database = sqlite3.connect(copy.root / "mlflow" / "mlflow.db")
    kept = copy.root / ".cl" / "finished"
    (run,) = database.execute("SELECT run_uuid FROM tags WHERE key = 'cl.verdict'").fetchone()
    columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
    rest = ", ".join(columns[1:])
    for number in range(30):
        id = f"{number:032x}"
        database.execute(
            f"INSERT INTO runs ({', '.join(columns)}) SELECT '{id}', {rest} FROM runs WHERE run_uuid = '{run}'"
        )
        database.execute(f"UPDATE runs SET start_time = {number} WHERE run_uuid = '{id}'")
        database.execute(f"INSERT INTO tags SELECT key, value, '{id}' FROM tags WHERE run_uuid = '{run}'")
        shutil.copy(kept / f"{run}.json", kept / f"{id}.json")
    database.commit()
    (kept / f"{29:032x}.json").write_text("{}")
    timeline = copy.shown()["timeline"]
    assert timeline["total"] == 31 and len(timeline["rows"]) == 12 and timeline["older"] == 12
    assert "damaged" in timeline["rows"][1]["problem"] and not timeline["rows"][2]["problem"]
    pages = [copy.server.get(f"{copy.address}/cycles?skip={skip}") for skip in (12, 24, 36)]
    assert [len(page["rows"]) for page in pages] == [12, 7, 0] and [page["older"] for page in pages] == [24, None, None]


def test_the_report_opens_by_a_link_of_the_page_and_in_a_sandbox(copy: Copy) -> None:
    reports = copy.root / "reports"
    assert copy.shown()["report"] is None
    reports.mkdir(exist_ok=True)
    (reports / "index.html").write_text("<p>report</p><script>alert(1)</script>")
    assert copy.shown()["report"] is not None
    link = copy.server.ask(f"{copy.address}/report", body={}).json()["link"]
    opened = httpx.get(f"{copy.server.url}/{link}")
    assert opened.status_code == 200 and opened.headers["content-security-policy"].startswith(
        "sandbox; default-src 'none'"
    )
    forged = link[:-1] + ("0" if link[-1] != "0" else "1")
    other = link.replace(copy.address.rpartition("/")[2], "0" * 16)
    for wrong in (forged, other, link.replace("until=", "until=9"), "report"):
        assert httpx.get(f"{copy.server.url}/{wrong}").status_code in (403, 422)


def test_a_new_champion_says_since_when_and_why(copy: Copy) -> None:
    folder = copy.root
    promote_version(folder, "1", alias="champion", share=None, why="we need it", despite_gates=False)
    learn(ProjectFolder(folder), ["loan", "fee", "box"], seed=2)
    project = copy.shown()
    assert (project["champion"]["version"], project["champion"]["why"]) == ("1", "we need it")
    assert project["approval"]["version"] == "2" and project["approval"]["champion_score"].startswith("accuracy")
    assert [row["experience"] for row in project["timeline"]["rows"]] == ["0002-batch-2", "0001-batch-1"]


def test_the_page_holds_nothing_of_a_project_and_runs_no_script_but_its_own(server: TeamServer) -> None:
    first, second = (httpx.get(f"{server.url}/") for _ in range(2))
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert policy != second.headers["content-security-policy"]
    assert "shop" not in first.text and "innerHTML" not in first.text and "https://" not in first.text
    assert first.text.count("<script") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "team.example"])
def test_beyond_this_machine_it_does_not_start_without_a_token(tmp_path, host) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CL_UI_TOKEN"}
    command = [sys.executable, "-m", "cl.cli", "ui", str(tmp_path), "--host", host, "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "CL_UI_TOKEN is not set" in done.stderr and done.stderr.count("\n") == 1


def test_it_stops_in_order_and_no_log_shows_a_token(made, tmp_path) -> None:
    with team_page(made, tmp_path / "ui.log") as server:
        server.project("shop")
        assert server.stop() == 0
        assert ANA not in server.log() and BEN not in server.log() and "Traceback" not in server.log()
