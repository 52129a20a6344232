"""The champion that serves is the ledger's, wherever MLflow's alias points, as long as the ledger can be asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cl.errors import StoreError
from cl.promotion.alias_moves import move_alias
from cl.promotion.by_hand import rollback
from cl.promotion.repair import repair_aliases
from cl.records import Move
from cl.serving.ledger_champion import LedgerChampion
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry
from cl.testing.memory import MemoryLedger
from tests.support.tiny import serve

OUT_OF_REACH = StoreError("the ledger at postgresql://ledger does not answer")


def served(registry: Registry, ledger: Ledger) -> str | None:
    return LedgerChampion(registry, ledger).of(registry.champion())


@pytest.fixture
def following(registry, ledger) -> LedgerChampion:
    """What a server has, that serves version 1."""
    serve(registry, ledger, "1")
    following = LedgerChampion(registry, ledger)
    assert following.of(registry.champion()) == "1" and following.warning is None
    return following


@pytest.mark.parametrize("hand", ["moves it", "removes it"])
def test_an_alias_moved_by_hand_moves_nothing_until_it_is_repaired(following, registry, ledger, hand) -> None:
    registry.set_alias("champion", "3") if hand == "moves it" else registry.delete_alias("champion")
    for ask in (following.of, following.confirmed, LedgerChampion(registry, ledger).of):
        assert ask(registry.champion()) == "1"
    warning = following.warning
    assert warning is not None and "version 1 serves" in warning
    assert "cl audit --repair mlflow --why TEXT" in warning
    repair_aliases(registry, ledger)
    assert following.of(registry.champion()) == "1" and following.warning is None


def promotes(registry: Registry, ledger: Ledger) -> str:
    serve(registry, ledger, "2")
    return "2"


def rolls_back(registry: Registry, ledger: Ledger) -> str:
    serve(registry, ledger, "2")
    rollback(registry, ledger, None, why="worse")
    return "1"


def promotes_where_a_hand_has_put_it(registry: Registry, ledger: Ledger) -> str:
    registry.set_alias("champion", "2")
    serve(registry, ledger, "2")
    return "2"


def makes_a_canary(registry: Registry, ledger: Ledger) -> str:
    move = Move(action="promote", to="2", expected="1", why="", actor="me@here", alias="canary", share=0.1)
    move_alias(registry, ledger, move, seen=ledger.entries(registry.model))
    return "1"


@pytest.mark.parametrize("moves", [promotes, rolls_back, promotes_where_a_hand_has_put_it, makes_a_canary])
@pytest.mark.parametrize("ask", [LedgerChampion.of, LedgerChampion.confirmed])
def test_a_move_through_the_ledger_is_followed(following, registry, ledger, moves, ask) -> None:
    wanted = moves(registry, ledger)
    assert ask(following, registry.champion()) == wanted and following.warning is None


@pytest.mark.parametrize(("step", "champion"), [("intent", "1"), ("alias", "2"), ("commit", "2")])
def test_while_a_move_is_under_way_the_alias_says_how_far_it_is(following, registry, ledger, step, champion) -> None:
    move = Move(action="promote", to="2", expected="1", why="", actor="me@here")
    intent = ledger.intend(registry.model, move)
    if step != "intent":
        registry.set_alias("champion", "2")
    if step == "commit":
        ledger.commit(registry.model, intent)
    assert following.of(registry.champion()) == champion and following.warning is None


def test_a_hand_that_meets_a_move_under_way_moves_nothing(following, registry, ledger) -> None:
    ledger.intend(registry.model, Move(action="promote", to="2", expected="1", why="", actor="me@here"))
    registry.set_alias("champion", "3")
    assert following.of(registry.champion()) == "1"


def test_an_empty_ledger_and_one_that_lacks_the_registry_s_last_entry_are_not_asked(registry, ledger) -> None:
    serve(registry, ledger, "1")
    assert served(registry, MemoryLedger()) == "1"
    copy = MemoryLedger()
    for entry in ledger.entries(registry.model):
        copy._insert(registry.model, entry)
    serve(registry, ledger, "2")
    assert copy.champion(registry.model) == "1", "it knows nothing of the last move"
    assert served(registry, copy) == served(registry, ledger) == "2"


def test_a_ledger_out_of_reach_is_followed_by_the_alias_and_by_what_it_said_before(
    following, registry, ledger, monkeypatch, caplog
) -> None:
    registry.set_alias("champion", "3")
    assert following.of("3") == "1"

    def fails(self: Ledger, model: str) -> None:
        raise OUT_OF_REACH

    monkeypatch.setattr(MemoryLedger, "last", fails)
    assert following.of("3") == "1", "the hand's move was seen before"
    registry.set_alias("champion", "2")
    assert following.of("2") == "2", "nobody can tell whose move this is"
    assert served(registry, ledger) == "2"
    assert caplog.text.count("the ledger cannot be read") == 2, "once a server"


def test_an_alias_that_the_ledger_has_confirmed_costs_no_look_at_it(following, registry, monkeypatch) -> None:
    asked: list[str] = []
    real: Callable[[Ledger, str], object] = MemoryLedger.last
    monkeypatch.setattr(MemoryLedger, "last", lambda self, model: asked.append(model) or real(self, model))
    for _ in range(3):
        assert following.confirmed("1") == "1"
    assert not asked
    following.of("1")
    assert asked == [registry.model]
