from __future__ import annotations

from datetime import datetime

import pytest

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
