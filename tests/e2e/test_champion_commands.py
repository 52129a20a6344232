"""The champion by the command line: promoted by hand, approved, rejected, rolled back, audited."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import made_sentences
from tests.e2e.conftest import Desk, new_desk

pytestmark = pytest.mark.slow


def learn(desk: Desk, name: str, labels: list[str], seed: int) -> dict:
    path = desk.project.parent / f"{name}.csv"
    made_sentences(labels, 80, seed=seed).to_csv(path, index=False)
    desk.json("ingest", str(path))
    (cycle,) = desk.json("run", "--plain")
    return cycle


@pytest.fixture(scope="module")
def desk(tmp_path_factory, tiny_model) -> Desk:
    desk = new_desk(tmp_path_factory.mktemp("champion") / "project", tiny_model)
    desk.configure(gates=[{"name": "floor", "min": 0.0}], promotion={"approval": "person"})
    return desk


def test_what_passed_waits_is_rejected_or_approved_and_the_ledger_says_so(desk) -> None:
    assert "has no champion at" in desk.cl("champion").stdout
    first = learn(desk, "one", ["loan", "fee"], seed=1)
    assert first["promotion"]["waiting"] and first["champion_after"] is None
    assert "version 1 (learnt 0001-one) waits since" in desk.cl("status").stdout

    without = desk.cl("reject", "1")
    assert without.returncode == 2 and "--why" in without.stderr
    assert desk.json("approve", "1", "--why", "a start")["action"] == "approve"
    second = learn(desk, "two", ["loan", "box"], seed=2)
    assert second["promotion"]["waiting"] and second["champion_after"] == "1"
    assert desk.json("reject", "2", "--why", "no boxes yet")["action"] == "reject"
    late = desk.cl("approve", "2")
    assert (late.returncode, len(late.stderr.strip().splitlines())) == (1, 1)
    assert "does not wait any more: decided by" in late.stderr

    third = learn(desk, "three", ["fee", "lamp"], seed=3)
    assert third["training"]["experiences"] == ["0003-three"], "what was rejected is not learnt along"
    status = desk.json("status")
    assert (status["champion"], status["approval"]["to_version"]) == ("1", "3")
    page = (desk.project / "reports" / "index.html", desk.json("report"))[0].read_text()
    assert "asked for a person" in page and "no boxes yet" in page and "the chain is whole" in page


def test_a_canary_serves_a_share_until_it_is_promoted_or_withdrawn(desk) -> None:
    bad = desk.cl("promote")
    assert bad.returncode == 2 and "name a VERSION to promote" in bad.stderr
    assert desk.cl("promote", "3", "--share", "0.1").returncode == 2
    assert desk.cl("promote", "3", "--as", "canary", "--share", "0").returncode == 2
    assert desk.json("promote", "3", "--as", "canary", "--share", "0.25")["share"] == 0.25
    told = desk.cl("champion").stdout
    assert told.startswith("version 1, since") and "canary: version 3, 25% of the requests" in told
    assert "canary      version 3, 25% of the requests" in desk.cl("status").stdout
    assert desk.json("promote", "--withdraw", "canary", "--why", "slow")["to_version"] is None
    assert desk.cl("promote", "--withdraw", "canary").returncode == 2
    assert desk.json("promote", "3", "--why", "well")["to_version"] == "3"
    assert desk.json("rollback")["to_version"] == "1"


def test_who_served_at_a_time_is_answered_from_the_ledger(desk) -> None:
    entries = desk.json("audit")["entries"]
    when = {(one["action"], one["to_version"]): datetime.fromisoformat(one["at"]) for one in entries}
    promoted, back = when["promote", "3"], when["rollback", "1"]
    if entries[-2]["at"] == entries[-3]["at"]:
        pytest.skip("two moves in one moment")

    def at(moment: str) -> str | None:
        champion = desk.json("champion", "--as-of", moment)["champion"]
        return champion and champion["to_version"]

    assert at(promoted.isoformat()) == "3" and at(back.isoformat()) == "1"
    assert at((promoted - timedelta(microseconds=1)).astimezone(UTC).isoformat()) == "1"
    assert at("2099-12-31") == "1" and at("2001-01-01") is None
    before = desk.cl("champion", "--as-of", "2001-01-01T12:00+01:00")
    assert (
        before.returncode == 0 and "has no champion at 2001-01-01 11:00:00 UTC; the ledger begins at" in before.stdout
    )
    wrong = desk.cl("champion", "--as-of", "yesterday")
    assert wrong.returncode == 2 and "no ISO date or time" in wrong.stderr


def test_an_edited_ledger_is_found_by_the_audit_and_named(desk) -> None:
    whole = desk.cl("audit")
    assert whole.returncode == 0 and "whole: " in whole.stdout and "no boxes yet" in whole.stdout
    assert all(one["verdict_digest"] for one in desk.json("audit")["entries"] if one["to_version"])
    with sqlite3.connect(desk.project / "mlflow" / "ledger.db") as database:
        database.execute("UPDATE cl_ledger SET why = 'I never said no' WHERE action = 'reject'")
    broken = desk.cl("audit")
    assert broken.returncode == 1 and "cl: entry 4 is broken: it was changed after it was written" in broken.stderr
    assert "Traceback" not in broken.stderr
    told = desk.cl("audit", "--json")
    assert told.returncode == 1 and '"sequence": 4' in told.stdout
    desk.json("report")
    assert "Entry 4 cannot be trusted" in (desk.project / "reports" / "index.html").read_text()
