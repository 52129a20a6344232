from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cl.records import LedgerEntry
from cl.stores.ledger import state

START = datetime(2026, 1, 1, tzinfo=UTC)


def told(*said: dict[str, Any]) -> list[LedgerEntry]:
    """Entries a day apart: promote to a version unless something else is said."""
    plain: dict[str, Any] = {
        "actor": "anna@desk", "action": "promote", "from_version": None, "why": "", "state": "committed",
    }  # fmt: skip
    return [
        LedgerEntry(**{**plain, "sequence": at, "recorded_at": START + timedelta(days=at), **one})
        for at, one in enumerate(said, start=1)
    ]


def held(entries: list[LedgerEntry]) -> dict[str, str | None]:
    return {alias: one.to_version for alias, one in state.holders(entries).items()}


def test_intents_abandoned_moves_and_notes_move_nothing() -> None:
    entries = told(
        {"to_version": "1"},
        {"to_version": "2", "state": "abandoned"},
        {"to_version": "3", "action": "alias_moved"},
        {"to_version": "4", "action": "wait"},
        {"to_version": "4", "action": "reject"},
        {"to_version": "5", "state": "intent"},
    )
    assert held(entries) == {"champion": "1"}


def test_a_version_is_one_thing_at_a_time() -> None:
    entries = told(
        {"to_version": "1"},
        {"to_version": "2", "alias": "shadow", "share": 1.0},
        {"to_version": "2", "alias": "canary", "share": 0.1},
        {"to_version": "3", "alias": "shadow", "share": 1.0},
    )
    assert held(entries) == {"champion": "1", "canary": "2", "shadow": "3"}
    assert held([*entries, *told({"to_version": "2"})]) == {"champion": "2", "shadow": "3"}
    gone = told({"to_version": None, "from_version": "3", "action": "withdraw", "alias": "shadow"})
    assert held([*entries, *gone]) == {"champion": "1", "canary": "2"}
    assert state.decided_versions([*entries, *gone]) == {"1", "3"}, "version 1 has served, version 3 was withdrawn"


def test_who_served_at_a_time_is_whom_the_last_move_before_it_made_champion() -> None:
    entries = told({"to_version": "1"}, {"to_version": "2"}, {"to_version": "1", "action": "rollback"})

    def at(days: float) -> str | None:
        return state.champion(state.entries_until(entries, START + timedelta(days=days)))

    assert [at(0.5), at(1), at(1.5), at(2.5), at(9)] == [None, "1", "1", "2", "1"]


def test_the_newest_that_asked_waits_until_it_is_answered_or_the_champion_moves() -> None:
    asks: list[dict[str, Any]] = [
        {"to_version": "1"},
        {"to_version": "2", "from_version": "1", "action": "wait"},
        {"to_version": "3", "from_version": "1", "action": "wait"},
    ]
    entries = told(*asks)
    assert (one := state.pending_approval(entries)) and one.to_version == "3"
    assert state.approval_outcome(entries, "2") == "version 3 waits in its place (entry 3)"
    assert state.approval_outcome(entries, "3") == "it waits" and state.approval_outcome(entries, "1") is None

    for answer in ("approve", "reject"):
        answered = told(*asks, {"to_version": "3", "action": answer, "alias": "canary"})
        assert state.pending_approval(answered) is None and f": {answer}" in str(state.approval_outcome(answered, "3"))
    moved = told(*asks, {"to_version": "4"})
    assert state.pending_approval(moved) is None
    assert "compared with champion 1, but version 4 has served since" in str(state.approval_outcome(moved, "3"))
    beside = told(*asks, {"to_version": "4", "alias": "canary", "share": 0.1})
    assert state.pending_approval(beside) is not None, "a canary beside the champion makes no answer stale"
