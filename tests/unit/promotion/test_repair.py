"""A crash, or a hand in the registry: the ledger stands, and remembers what it found."""

from __future__ import annotations

import logging
import sqlite3
from functools import partial

import pytest

from cl.errors import ConflictError, InputError, IntegrityError, StoreError
from cl.promotion.by_hand import promote_by_hand, rollback
from cl.promotion.repair import repair_aliases
from cl.promotion.vouch import vouch_for
from cl.records import Move
from cl.stores.actor import current_actor
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry
from tests.support.tiny import serve


def intend(registry: Registry, ledger: Ledger, to: str, actor: str | None = None) -> None:
    expected = ledger.champion(registry.model)
    ledger.intend(
        registry.model, Move(action="promote", expected=expected, to=to, why="", actor=actor or current_actor())
    )


def test_a_move_killed_before_the_alias_is_abandoned(registry, ledger) -> None:
    serve(registry, ledger, "1")
    intend(registry, ledger, "2")
    repair_aliases(registry, ledger)
    assert registry.champion() == ledger.champion(registry.model) == "1"
    assert [entry.state for entry in ledger.entries(registry.model)] == ["committed", "abandoned"]


def test_a_move_killed_after_the_alias_is_completed(registry, ledger) -> None:
    serve(registry, ledger, "1")
    intend(registry, ledger, "2")
    registry.set_alias("champion", "2")
    repair_aliases(registry, ledger)
    assert registry.champion() == ledger.champion(registry.model) == "2"


def test_a_move_under_way_on_another_machine_is_left_alone(registry, ledger) -> None:
    intend(registry, ledger, "1", actor="you@elsewhere")
    with pytest.raises(ConflictError, match="you@elsewhere is moving"):
        repair_aliases(registry, ledger)
    assert ledger.open_intent(registry.model) is not None


def test_an_alias_moved_by_hand_goes_back_and_is_told(registry, ledger, caplog) -> None:
    serve(registry, ledger, "1")
    registry.set_alias("champion", "3")
    with caplog.at_level(logging.WARNING):
        repair_aliases(registry, ledger)
    assert registry.champion() == "1" and "champion is 3 by alias, 1 by the ledger" in caplog.text
    _, entry = ledger.entries(registry.model)
    assert (entry.action, entry.alias, entry.from_version, entry.to_version, entry.state) == (
        "alias_moved", "champion", "1", "3", "committed",
    )  # fmt: skip
    assert "restored" in entry.why and ledger.champion(registry.model) == "1"
    repair_aliases(registry, ledger)
    assert len(ledger.entries(registry.model)) == 2, "it is told once"


def test_a_new_ledger_adopts_the_champion_of_an_older_registry(registry, ledger) -> None:
    registry.set_alias("champion", "2")
    repair_aliases(registry, ledger)
    (entry,) = ledger.entries(registry.model)
    assert (entry.action, entry.to_version, entry.state) == ("adopt", "2", "committed")


def test_a_version_that_failed_its_gates_is_not_adopted(registry, ledger) -> None:
    registry.set_alias("champion", "3")
    with pytest.raises(StoreError, match=r"not the tag cl\.gates=passed"):
        repair_aliases(registry, ledger)
    assert ledger.champion(registry.model) is None


def test_a_deleted_champion_does_not_stand_in_the_way_of_a_rollback(registry, ledger, caplog) -> None:
    serve(registry, ledger, "1", "2")
    registry.delete_version("2")
    repair_aliases(registry, ledger)
    assert "was deleted" in caplog.text
    assert rollback(registry, ledger, None, why="deleted").to_version == "1"
    assert registry.champion() == "1"


def test_repairing_what_is_whole_changes_nothing(registry, ledger) -> None:
    serve(registry, ledger, "1")
    before = ledger.entries(registry.model)
    repair_aliases(registry, ledger)
    assert ledger.entries(registry.model) == before and registry.champion() == "1"


def test_aliases_of_canary_and_shadow_that_were_moved_or_taken_by_hand_are_put_back_and_told(registry, ledger) -> None:
    serve(registry, ledger, "1")
    promote_by_hand(registry, ledger, "2", alias="canary", share=0.1, why="as agreed")
    registry.set_alias("canary", "4")
    registry.set_alias("shadow", "3")
    repair_aliases(registry, ledger)
    assert registry.aliases() == {"champion": "1", "canary": "2"}
    told = [(one.alias, one.from_version, one.to_version) for one in ledger.entries(registry.model)[2:]]
    assert told == [("canary", "2", "4"), ("shadow", None, "3")]
    registry.delete_alias("champion")
    repair_aliases(registry, ledger)
    assert registry.champion() == "1" and ledger.entries(registry.model)[-1].to_version is None
    assert first_violation(registry.model, ledger.entries(registry.model), head=registry.ledger_head()) is None


def test_killed_while_an_alias_is_put_back_it_is_put_back_by_the_next(registry, ledger) -> None:
    serve(registry, ledger, "1")
    registry.set_alias("champion", "3")
    ledger.intend(registry.model, Move(action="alias_moved", expected="1", to="3", why="", actor=current_actor()))
    repair_aliases(registry, ledger)
    assert registry.champion() == "1"
    states = [(one.action, one.state) for one in ledger.entries(registry.model)]
    assert states == [("promote", "committed"), ("alias_moved", "abandoned"), ("alias_moved", "committed")]


def test_killed_after_an_alias_was_put_back_the_entry_is_settled(registry, ledger) -> None:
    serve(registry, ledger, "1")
    ledger.intend(registry.model, Move(action="alias_moved", expected="1", to="3", why="", actor=current_actor()))
    repair_aliases(registry, ledger)
    assert registry.champion() == "1" and ledger.entries(registry.model)[-1].state == "committed"


def test_what_a_move_that_was_cut_off_has_left_is_nobodys_hand(registry, ledger) -> None:
    serve(registry, ledger, "1")
    promote_by_hand(registry, ledger, "2", alias="canary", share=0.1, why="as agreed")
    ledger.commit(
        registry.model,
        ledger.intend(registry.model, Move(action="promote", expected="1", to="2", why="", actor=current_actor())),
    )
    registry.set_alias("champion", "2")  # killed before the canary's alias was taken away
    repair_aliases(registry, ledger)
    assert registry.aliases() == {"champion": "2"}
    ledger.abandon(
        registry.model,
        ledger.intend(registry.model, Move(action="promote", expected="2", to="4", why="", actor=current_actor())),
    )
    registry.set_alias("champion", "4")  # the answer of the registry was lost, and the move abandoned
    repair_aliases(registry, ledger)
    assert registry.champion() == "2"
    assert "alias_moved" not in [one.action for one in ledger.entries(registry.model)]


def test_a_deleted_champion_is_told_once_however_often_it_is_looked_for(registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    registry.delete_version("2")
    for _ in range(3):
        repair_aliases(registry, ledger)
    found = ledger.entries(registry.model)[2:]
    assert [(one.action, one.state) for one in found] == [("alias_moved", "abandoned")]
    assert "cannot be restored" in found[0].why


def test_a_ledger_that_lost_entries_moves_nothing_until_somebody_vouches_for_a_version(
    registry, ledger, tmp_path
) -> None:
    serve(registry, ledger, "1", "2")
    head = registry.ledger_head()
    fresh = Ledger(f"sqlite:///{tmp_path}/restored.db")
    for move in (partial(repair_aliases, registry, fresh), partial(serve, registry, fresh, "4")):
        with pytest.raises(IntegrityError, match=r"entry 1 of .* cannot be trusted: it is missing.*cl audit --repair"):
            move()
    assert registry.champion() == "2" and registry.ledger_head() == head and not fresh.entries(registry.model)

    with pytest.raises(InputError, match="needs a reason"):
        vouch_for(registry, fresh, "4", why=" ")
    with pytest.raises(InputError, match="no version 77"):
        vouch_for(registry, fresh, "77", why="a disk died")
    entry = vouch_for(registry, fresh, "4", why="a disk died")
    assert (entry.action, entry.to_version, entry.state) == ("repair", "4", "committed")
    assert entry.why.startswith("a disk died (entry 1 could not be trusted")
    repair_aliases(registry, fresh)
    assert registry.champion() == fresh.champion(registry.model) == "4"
    with pytest.raises(InputError, match="is whole"):
        vouch_for(registry, fresh, "4", why="once more")


@pytest.mark.parametrize("key", [None, b"secret"])
@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("DELETE FROM cl_ledger WHERE sequence = 3", 2),
        ("UPDATE cl_ledger SET to_version = '3' WHERE sequence = 2", 1),
        ("UPDATE cl_ledger SET why = 'other' WHERE sequence = 1", 0),
        ("DELETE FROM cl_ledger", 0),
    ],
)
def test_a_ledger_that_was_changed_is_not_followed(registry, tmp_path, statement, kept, key) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/changed.db", key)
    serve(registry, ledger, "1", "2", "4")
    with sqlite3.connect(tmp_path / "changed.db") as database:
        database.execute(statement)
    for move in (
        partial(repair_aliases, registry, ledger),
        partial(rollback, registry, ledger, "1", why="back"),
        partial(promote_by_hand, registry, ledger, "3", why="up", despite_gates=True),
    ):
        with pytest.raises(IntegrityError, match="nothing was moved"):
            move()
    assert registry.champion() == "4"
    vouch_for(registry, ledger, "4", why="I have seen it serve")
    repair_aliases(registry, ledger)
    assert len(ledger.entries(registry.model)) == kept + 1 and registry.champion() == "4"
    with sqlite3.connect(tmp_path / "changed.db") as database:
        aside = database.execute("SELECT count(*) FROM cl_ledger WHERE model != ?", [registry.model]).fetchone()
    assert aside == (0 if "DELETE" in statement else 3 - kept,)


def test_a_hand_that_moves_an_alias_again_and_again_is_told_each_time(registry, ledger) -> None:
    serve(registry, ledger, "1")
    for _ in range(2):
        registry.set_alias("shadow", "3")
        repair_aliases(registry, ledger)
    assert [one.action for one in ledger.entries(registry.model)] == ["promote", "alias_moved", "alias_moved"]
