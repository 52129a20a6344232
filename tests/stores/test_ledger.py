from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pytest
import sqlalchemy as sa

from cl import standing
from cl.chain import breach
from cl.errors import ConflictError, StoreError
from cl.stores.ledger import Ledger


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture(params=["sqlite", "postgres"])
def any_uri(request, tmp_path) -> str:
    """A database without a ledger: SQLite, and Postgres where it can be started."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return request.getfixturevalue("postgres").database("ledger")


def move(ledger: Ledger, to: str, action="promote") -> None:
    entry = ledger.intend("m", action, expected=ledger.champion("m"), to=to, why="test", actor="me")
    ledger.commit("m", entry)


def test_a_committed_move_makes_the_champion_and_an_intent_does_not(ledger) -> None:
    entry = ledger.intend("m", "promote", expected=None, to="1", why="first", actor="me")
    assert ledger.champion("m") is None and ledger.open_intent("m") == entry
    ledger.commit("m", entry)
    assert ledger.champion("m") == "1" and ledger.open_intent("m") is None


def test_a_move_from_a_champion_that_is_no_longer_one_is_refused(ledger) -> None:
    move(ledger, "1")
    with pytest.raises(ConflictError, match="the champion of 'm' is version 1 now, not none"):
        ledger.intend("m", "promote", expected=None, to="2", why="stale", actor="me")


def test_an_abandoned_move_leaves_the_champion_and_frees_the_ledger(ledger) -> None:
    move(ledger, "1")
    ledger.abandon("m", ledger.intend("m", "promote", expected="1", to="2", why="no", actor="me"))
    assert ledger.champion("m") == "1"
    move(ledger, "3")
    assert [entry.state for entry in ledger.entries("m")] == ["committed", "abandoned", "committed"]


def test_two_rollbacks_in_a_row_go_further_back(ledger) -> None:
    for version in "123":
        move(ledger, version)
    assert standing.previous(ledger.entries("m")) == "2"
    move(ledger, "2", "rollback")
    assert standing.previous(ledger.entries("m")) == "1"
    move(ledger, "1", "rollback")
    assert standing.previous(ledger.entries("m")) is None
    move(ledger, "4")
    assert standing.previous(ledger.entries("m")) == "1"


def test_models_do_not_know_each_other(ledger) -> None:
    move(ledger, "7")
    assert ledger.champion("other") is None


def test_four_processes_promoting_at_once_leave_one_unbroken_chain(ledger) -> None:
    code = (
        "import sys\n"
        "from cl.errors import ConflictError; from cl.stores.ledger import Ledger\n"
        "ledger, me, done = Ledger(sys.argv[1]), sys.argv[2], 0\n"
        "while done < 15:\n"
        "    try:\n"
        "        now, to = ledger.champion('m'), f'{me}{done}'\n"
        "        e = ledger.intend('m', 'promote', expected=now, to=to, why='', actor=me)\n"
        "        ledger.commit('m', e); done += 1\n"
        "    except ConflictError: pass\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, ledger.uri, name], stderr=subprocess.PIPE) for name in "abcd"
    ]
    for racer in racers:
        _, errors = racer.communicate(timeout=120)
        assert racer.returncode == 0, errors.decode()
    entries = ledger.entries("m")
    assert [entry.sequence for entry in entries] == list(range(1, 61))
    assert {entry.state for entry in entries} == {"committed"}
    assert [entry.from_version for entry in entries[1:]] == [entry.to_version for entry in entries[:-1]]


def test_a_database_out_of_reach_is_one_line_without_the_password() -> None:
    with pytest.raises(StoreError) as error:
        Ledger("postgresql+psycopg2://me:secret@127.0.0.1:9/x").entries("m")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["ledger.db", "mysql+nodriver://me:secret@127.0.0.1/x"])
def test_a_url_that_opens_nothing_is_one_line_without_the_password(uri) -> None:
    with pytest.raises(StoreError) as error:
        Ledger(uri).entries("m")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_of_two_that_read_the_same_ledger_the_second_is_refused(ledger) -> None:
    class Late(Ledger):
        def entries(self, model):
            seen = super().entries(model)
            if not seen:
                ledger.intend(model, "promote", expected=None, to="1", why="first", actor="you")
            return seen

    with pytest.raises(ConflictError, match="another process moved the champion of 'm' first"):
        Late(ledger.uri).intend("m", "promote", expected=None, to="2", why="second", actor="me")
    assert [entry.to_version for entry in ledger.entries("m")] == ["1"]


def test_a_move_that_another_process_settled_cannot_be_committed(ledger) -> None:
    entry = ledger.intend("m", "promote", expected=None, to="1", why="", actor="me")
    ledger.abandon("m", entry)
    with pytest.raises(ConflictError, match="settled by another process"):
        ledger.commit("m", entry)
    assert ledger.champion("m") is None


OLD_TABLE = (
    "CREATE TABLE cl_ledger (model VARCHAR(255) NOT NULL, sequence INTEGER NOT NULL, at VARCHAR(40) NOT NULL, "
    "actor VARCHAR(255) NOT NULL, action VARCHAR(20) NOT NULL, from_version VARCHAR(50), "
    "to_version VARCHAR(50) NOT NULL, why TEXT NOT NULL, state VARCHAR(20) NOT NULL, PRIMARY KEY (model, sequence))"
)
OLD_ROWS = [
    ("m", 1, "2026-01-01T00:00:00+00:00", "anna@desk", "promote", None, "1", "learnt 0001-a", "committed"),
    ("m", 2, "2026-02-01T00:00:00.123456+00:00", "anna@desk", "promote", "1", "2", "learnt 0002-b", "abandoned"),
    ("m", 3, "2026-03-01T00:00:00+00:00", "ben@desk", "promote", "1", "3", "learnt 0003-c", "committed"),
    ("other", 1, "2026-01-05T00:00:00+00:00", "ben@desk", "adopt", None, "7", "found", "committed"),
]


def run(uri: str, *statements: str) -> None:
    engine = sa.create_engine(uri)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def of_an_older_project(uri: str) -> None:
    rows = [", ".join("NULL" if one is None else repr(one) for one in row) for row in OLD_ROWS]
    run(uri, "DROP TABLE IF EXISTS cl_ledger", OLD_TABLE, *[f"INSERT INTO cl_ledger VALUES ({row})" for row in rows])


def test_a_ledger_of_an_older_project_is_chained_at_first_use_and_loses_nothing(any_uri) -> None:
    of_an_older_project(any_uri)
    ledger = Ledger(any_uri)
    before = ledger.entries("m")
    kept = [(one.at.isoformat(), one.actor, one.action, one.from_version, one.to_version, one.why) for one in before]
    assert kept == [row[2:8] for row in OLD_ROWS[:3]]
    assert breach("m", before) is None and breach("other", ledger.entries("other")) is None
    move(ledger, "4")
    assert Ledger(any_uri).entries("m")[:3] == before, "what is chained once is left alone"
    assert breach("m", ledger.entries("m")) is None and ledger.champion("m") == "4"


def test_a_table_that_was_half_changed_when_the_process_died_is_finished(any_uri) -> None:
    of_an_older_project(any_uri)
    run(
        any_uri,
        "ALTER TABLE cl_ledger ADD COLUMN alias VARCHAR(20)",
        "ALTER TABLE cl_ledger ADD COLUMN hash VARCHAR(64)",
    )
    ledger = Ledger(any_uri)
    assert breach("m", ledger.entries("m")) is None and len(ledger.entries("m")) == 3


def test_four_processes_that_open_an_older_ledger_at_once_all_read_the_same_chain(any_uri) -> None:
    of_an_older_project(any_uri)
    code = (
        "import sys; from cl.stores.ledger import Ledger\nprint([one.hash for one in Ledger(sys.argv[1]).entries('m')])"
    )
    openers = [
        subprocess.Popen([sys.executable, "-c", code, any_uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(one.communicate(timeout=120), one.returncode) for one in openers]
    assert [code for _, code in ends] == [0, 0, 0, 0], ends
    assert len({out for (out, _), _ in ends}) == 1


@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("UPDATE cl_ledger SET why = 'I never did' WHERE sequence = 2", 2),
        ("UPDATE cl_ledger SET state = 'abandoned' WHERE sequence = 3", 3),
        ("UPDATE cl_ledger SET hash = NULL WHERE sequence = 2", 2),
        ("DELETE FROM cl_ledger WHERE sequence = 2", 2),
        ("DELETE FROM cl_ledger WHERE sequence = 1", 1),
        (
            "INSERT INTO cl_ledger (model, sequence, at, actor, action, from_version, to_version, why, state) "
            "VALUES ('m', 4, '2026-05-01T00:00:00+00:00', 'eve@desk', 'promote', '3', '1', '', 'committed')",
            4,
        ),
    ],
)
def test_a_row_that_was_edited_removed_or_put_in_behind_the_ledgers_back_is_named(any_uri, statement, sequence) -> None:
    ledger = Ledger(any_uri)
    for version in "123":
        move(ledger, version)
    assert breach("m", ledger.entries("m")) is None
    run(any_uri, statement)
    found = breach("m", Ledger(any_uri).entries("m"))
    assert found is not None and found.sequence == sequence


def test_the_chain_holds_through_intents_that_were_settled_either_way(ledger) -> None:
    entry = ledger.intend("m", "promote", expected=None, to="1", why="", actor="me", digest="d" * 64)
    assert breach("m", ledger.entries("m")) is None
    settled = ledger.commit("m", entry)
    assert settled.hash != entry.hash and settled.previous == entry.previous == ""
    ledger.abandon(
        "m", ledger.intend("m", "promote", expected="1", to="2", why="", actor="me", alias="canary", share=0.1)
    )
    first, second = ledger.entries("m")
    assert breach("m", [first, second]) is None and second.previous == first.hash
    assert (first.verdict_digest, second.alias, second.share) == ("d" * 64, "canary", 0.1)


def test_time_in_the_ledger_does_not_go_back_when_a_clock_does(ledger, monkeypatch) -> None:
    move(ledger, "1")

    class Slow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr("cl.stores.ledger.datetime", Slow)
    move(ledger, "2")
    first, second = ledger.entries("m")
    assert second.at == first.at
