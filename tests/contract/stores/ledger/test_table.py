"""A ledger that an older project began, or that somebody has edited."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import sqlalchemy as sa

from cl.errors import IntegrityError, LedgerRowError
from cl.records import Move
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger

on_databases = pytest.mark.parametrize("any_uri", ["sqlite", "postgres"], indirect=True)
everywhere = pytest.mark.parametrize("any_uri", ["memory", "sqlite", "postgres"], indirect=True)
OLD_TABLE = (
    "CREATE TABLE cl_ledger (model VARCHAR(255) NOT NULL, sequence INTEGER NOT NULL, recorded_at VARCHAR(40) NOT NULL, "
    "actor VARCHAR(255) NOT NULL, action VARCHAR(20) NOT NULL, from_version VARCHAR(50), "
    "to_version VARCHAR(50) NOT NULL, why TEXT NOT NULL, state VARCHAR(20) NOT NULL, PRIMARY KEY (model, sequence))"
)
OLD_ROWS = [
    ("m", 1, "2026-01-01T00:00:00+00:00", "anna@desk", "promote", None, "1", "learnt 0001-a", "committed"),
    ("m", 2, "2026-02-01T00:00:00.123456+00:00", "anna@desk", "promote", "1", "2", "learnt 0002-b", "abandoned"),
    ("m", 3, "2026-03-01T00:00:00+00:00", "ben@desk", "promote", "1", "3", "learnt 0003-c", "committed"),
    ("other", 1, "2026-01-05T00:00:00+00:00", "ben@desk", "adopt", None, "7", "found", "committed"),
]


def move(ledger: Ledger, to: str) -> None:
    ledger.commit(
        "m", ledger.intend("m", Move(action="promote", expected=ledger.champion("m"), to=to, why="", actor="me"))
    )


def run(uri: str, *statements: str) -> None:
    engine = sa.create_engine(uri)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def of_an_older_project(uri: str) -> None:
    rows = [", ".join("NULL" if one is None else repr(one) for one in row) for row in OLD_ROWS]
    run(uri, "DROP TABLE IF EXISTS cl_ledger", OLD_TABLE, *[f"INSERT INTO cl_ledger VALUES ({row})" for row in rows])


@on_databases
def test_a_ledger_of_an_older_project_is_chained_at_first_use_and_loses_nothing(any_uri) -> None:
    of_an_older_project(any_uri)
    ledger = Ledger(any_uri)
    before = ledger.entries("m")
    kept = [
        (one.recorded_at.isoformat(), one.actor, one.action, one.from_version, one.to_version, one.why)
        for one in before
    ]
    assert kept == [row[2:8] for row in OLD_ROWS[:3]]
    assert first_violation("m", before) is None and first_violation("other", ledger.entries("other")) is None
    move(ledger, "4")
    assert Ledger(any_uri).entries("m")[:3] == before, "what is chained once is left alone"
    assert first_violation("m", ledger.entries("m")) is None and ledger.champion("m") == "4"


@on_databases
def test_a_table_that_was_half_changed_when_the_process_died_is_finished(any_uri) -> None:
    of_an_older_project(any_uri)
    run(
        any_uri,
        "ALTER TABLE cl_ledger ADD COLUMN alias VARCHAR(20)",
        "ALTER TABLE cl_ledger ADD COLUMN hash VARCHAR(64)",
    )
    ledger = Ledger(any_uri)
    assert first_violation("m", ledger.entries("m")) is None and len(ledger.entries("m")) == 3


def test_four_processes_that_open_an_older_ledger_at_once_all_read_the_same_chain(any_uri) -> None:
    of_an_older_project(any_uri)
    code = (
        "import sys; from cl.stores.ledger.ledger import Ledger\n"
        "print([entry.hash for entry in Ledger(sys.argv[1]).entries('m')])"
    )
    openers = [
        subprocess.Popen([sys.executable, "-c", code, any_uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(one.communicate(timeout=120), one.returncode) for one in openers]
    assert [code for _, code in ends] == [0, 0, 0, 0], ends
    assert len({out for (out, _), _ in ends}) == 1


@everywhere
@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("UPDATE cl_ledger SET why = 'I never did' WHERE sequence = 2", 2),
        ("UPDATE cl_ledger SET state = 'abandoned' WHERE sequence = 3", 3),
        ("UPDATE cl_ledger SET hash = NULL WHERE sequence = 2", 2),
        ("DELETE FROM cl_ledger WHERE sequence = 2", 2),
        ("DELETE FROM cl_ledger WHERE sequence = 1", 1),
        (
            "INSERT INTO cl_ledger (model, sequence, recorded_at, actor, action, from_version, to_version, why, state) "
            "VALUES ('m', 4, '2026-05-01T00:00:00+00:00', 'eve@desk', 'promote', '3', '1', '', 'committed')",
            4,
        ),
    ],
)
def test_a_row_that_was_edited_removed_or_put_in_behind_the_ledgers_back_is_named(any_uri, statement, sequence) -> None:
    ledger = Ledger(any_uri)
    for version in "123":
        move(ledger, version)
    assert first_violation("m", ledger.entries("m")) is None
    run(any_uri, statement)
    found = first_violation("m", Ledger(any_uri).unverified("m"))
    assert found is not None and found.sequence == sequence
    with pytest.raises(IntegrityError, match=f"entry {sequence} of 'm' cannot be trusted.*cl audit --repair"):
        Ledger(any_uri).entries("m")


@on_databases
@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("state", "done", "state must be 'intent', 'committed' or 'abandoned', got 'done'"),
        ("action", "steal", "action must be .*, got 'steal'"),
        ("alias", "king", "alias must be 'champion', 'canary' or 'shadow', got 'king'"),
        ("recorded_at", "yesterday", "recorded_at: input should be a valid datetime"),
        ("recorded_at", "", "recorded_at: input should be a valid datetime"),
        ("recorded_at", "2026-02-30T00:00:00+00:00", "recorded_at: input should be a valid datetime"),
        ("recorded_at", "2026-01-01T00:00:00", "recorded_at has no time zone, got '2026-01-01T00:00:00'"),
    ],
)
def test_a_row_that_is_no_entry_is_named_with_what_is_wrong_and_what_to_do(any_uri, column, value, why) -> None:
    ledger = Ledger(any_uri)
    for version in "123":
        move(ledger, version)
    run(any_uri, f"UPDATE cl_ledger SET {column} = '{value}' WHERE sequence = 2")
    for read in (Ledger(any_uri).entries, Ledger(any_uri).unverified, Ledger(any_uri).champion, ledger.open_intent):
        with pytest.raises(
            LedgerRowError, match=f"row 2 of the ledger of 'm' cannot be read: {why}.*backup"
        ) as refused:
            read("m")
        assert refused.value.row == 2 and "\n" not in str(refused.value)
    with pytest.raises(LedgerRowError):
        move(ledger, "4")
    assert Ledger(any_uri).entries("other") == []


@pytest.mark.parametrize(
    "change",
    ["sequence = 'one'", "actor = x'00ff'", "share = 'half'", "why = x'fe'", f"state = '{'x' * 9_999}'"],
)
def test_a_row_of_sqlite_that_holds_another_type_is_named_by_its_number_or_position(tmp_path, change) -> None:
    uri = f"sqlite:///{tmp_path}/ledger.db"
    move(Ledger(uri), "1")
    run(uri, f"UPDATE cl_ledger SET {change}")
    with pytest.raises(LedgerRowError, match="row 1 of the ledger of 'm' cannot be read: ") as refused:
        Ledger(uri).entries("m")
    assert refused.value.row == 1 and len(str(refused.value)) < 500
    assert pickle.loads(pickle.dumps(refused.value)).row == 1, "it comes through a flow as it is"


@on_databases
def test_a_row_of_an_older_ledger_that_is_no_entry_is_named_and_nothing_is_chained(any_uri) -> None:
    of_an_older_project(any_uri)
    run(any_uri, "UPDATE cl_ledger SET state = 'done' WHERE model = 'm' AND sequence = 3")
    with pytest.raises(LedgerRowError, match="row 3 of the ledger of 'm'"):
        Ledger(any_uri).entries("m")
    run(any_uri, "UPDATE cl_ledger SET state = 'committed' WHERE model = 'm' AND sequence = 3")
    assert len(Ledger(any_uri).entries("m")) == 3
