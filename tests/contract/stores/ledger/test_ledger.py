"""What a ledger does: the same in memory, on SQLite and on Postgres."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from cl.errors import ConflictError, IntegrityError, StoreError
from cl.records import Move
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.testing import MemoryLedger


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request, tmp_path) -> Ledger:
    """A ledger without an entry."""
    if request.param == "memory":
        return MemoryLedger()
    if request.param == "sqlite":
        return Ledger(f"sqlite:///{tmp_path}/ledger.db")
    return Ledger(request.getfixturevalue("postgres").database("ledger"))


def move(ledger: Ledger, to: str, action="promote") -> None:
    entry = ledger.intend("m", Move(action=action, expected=ledger.champion("m"), to=to, why="test", actor="me"))
    ledger.commit("m", entry)


def test_a_committed_move_makes_the_champion_and_an_intent_does_not(ledger) -> None:
    entry = ledger.intend("m", Move(action="promote", expected=None, to="1", why="first", actor="me"))
    assert ledger.champion("m") is None and ledger.open_intent("m") == entry
    ledger.commit("m", entry)
    assert ledger.champion("m") == "1" and ledger.open_intent("m") is None


def test_a_move_from_a_champion_that_is_no_longer_one_is_refused(ledger) -> None:
    move(ledger, "1")
    with pytest.raises(ConflictError, match="the champion of 'm' is version 1 now, not none"):
        ledger.intend("m", Move(action="promote", expected=None, to="2", why="stale", actor="me"))


def test_an_abandoned_move_leaves_the_champion_and_frees_the_ledger(ledger) -> None:
    move(ledger, "1")
    ledger.abandon("m", ledger.intend("m", Move(action="promote", expected="1", to="2", why="no", actor="me")))
    assert ledger.champion("m") == "1"
    move(ledger, "3")
    assert [entry.state for entry in ledger.entries("m")] == ["committed", "abandoned", "committed"]


def test_two_rollbacks_in_a_row_go_further_back(ledger) -> None:
    for version in "123":
        move(ledger, version)
    assert state.previous_champion(ledger.entries("m")) == "2"
    move(ledger, "2", "rollback")
    assert state.previous_champion(ledger.entries("m")) == "1"
    move(ledger, "1", "rollback")
    assert state.previous_champion(ledger.entries("m")) is None
    move(ledger, "4")
    assert state.previous_champion(ledger.entries("m")) == "1"


def test_models_do_not_know_each_other(ledger) -> None:
    move(ledger, "7")
    assert ledger.champion("other") is None


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
                ledger.intend(model, Move(action="promote", expected=None, to="1", why="first", actor="you"))
            return seen

    with pytest.raises(ConflictError, match="another process moved the champion of 'm' first"):
        Late(ledger.uri).intend("m", Move(action="promote", expected=None, to="2", why="second", actor="me"))
    assert [entry.to_version for entry in ledger.entries("m")] == ["1"]


def test_another_ledger_at_the_same_place_is_the_same_ledger(ledger) -> None:
    move(ledger, "1")
    assert Ledger(ledger.uri).entries("m") == ledger.entries("m")
    move(Ledger(ledger.uri), "2")
    assert ledger.champion("m") == "2"


def test_threads_that_promote_at_once_leave_one_unbroken_chain(ledger) -> None:
    def promote_until_it_comes_through(to: str) -> None:
        while time.monotonic() < end:
            try:
                return move(ledger, to)
            except ConflictError:
                continue
        raise AssertionError("the others came first each time")

    end, versions = time.monotonic() + 30, [str(at) for at in range(1, 13)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(promote_until_it_comes_through, versions))
    entries = ledger.entries("m")
    assert sorted(one.to_version for one in entries) == sorted(versions)
    assert {one.state for one in entries} == {"committed"} and first_violation("m", entries) is None


def test_with_a_key_an_entry_without_its_signature_is_not_read(ledger) -> None:
    signing = Ledger(ledger.uri, key=b"key")
    move(signing, "1")
    assert signing.champion("m") == "1"
    move(ledger, "2")
    with pytest.raises(IntegrityError, match=r"entry 2 of 'm' cannot be trusted: it is not signed; .*cl audit --sign$"):
        signing.entries("m")
    assert [one.to_version for one in signing.unverified("m")] == ["1", "2"]
    signing.sign("m", ledger.entries("m"), b"key")
    assert signing.champion("m") == "2"


def test_a_note_moves_nothing(ledger) -> None:
    move(ledger, "1")
    ledger.note("m", Move(action="wait", expected="1", to="2", why="learnt", actor="me"), seen=ledger.entries("m"))
    assert ledger.champion("m") == "1" and state.pending_approval(ledger.entries("m")).to_version == "2"
    with pytest.raises(ConflictError, match="is version 1 now, not 3"):
        ledger.note("m", Move(action="wait", expected="3", to="2", why="", actor="me"), seen=ledger.entries("m"))


def test_a_move_that_another_process_settled_cannot_be_committed(ledger) -> None:
    entry = ledger.intend("m", Move(action="promote", expected=None, to="1", why="", actor="me"))
    ledger.abandon("m", entry)
    with pytest.raises(ConflictError, match="settled by another process"):
        ledger.commit("m", entry)
    assert ledger.champion("m") is None


def test_the_chain_holds_through_intents_that_were_settled_either_way(ledger) -> None:
    entry = ledger.intend("m", Move(action="promote", expected=None, to="1", why="", actor="me", digest="d" * 64))
    assert first_violation("m", ledger.entries("m")) is None
    settled = ledger.commit("m", entry)
    assert settled.hash != entry.hash and settled.previous == entry.previous == ""
    ledger.abandon(
        "m",
        ledger.intend("m", Move(action="promote", expected="1", to="2", why="", actor="me", alias="canary", share=0.1)),
    )
    first, second = ledger.entries("m")
    assert first_violation("m", [first, second]) is None and second.previous == first.hash
    assert (first.verdict_digest, second.alias, second.share) == ("d" * 64, "canary", 0.1)


def test_time_in_the_ledger_does_not_go_back_when_a_clock_does(ledger, monkeypatch) -> None:
    move(ledger, "1")

    class Slow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr("cl.stores.ledger.ledger.datetime", Slow)
    move(ledger, "2")
    first, second = ledger.entries("m")
    assert second.recorded_at == first.recorded_at
