from __future__ import annotations

import logging

import pytest

from cl.errors import ConflictError, InputError, StoreError
from cl.moves import move, who
from cl.promote import promote, promote_by_hand, rollback
from cl.register import Registration
from cl.repair import repair
from cl.settings import PromotionSettings
from cl.stores.ledger import Ledger
from cl.stores.mlflow import Registry


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One database for all tests; each has a model and a ledger of its own."""
    folder = tmp_path_factory.mktemp("store")
    Registry(f"sqlite:///{folder}/m.db", str(folder), "first").initialise()
    return folder


@pytest.fixture
def registry(store, request) -> Registry:
    name = request.node.name[:200].replace("[", "-").replace("]", "")
    registry = Registry(f"sqlite:///{store}/m.db", str(store), name)
    registry._client.create_registered_model(name)
    for gates in ("passed", "passed", "failed", "passed"):
        registry._client.create_model_version(name, store.as_uri(), tags={"cl.gates": gates})
    return registry


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


def serve(registry: Registry, ledger: Ledger, *versions: str) -> None:
    for version in versions:
        passed = Registration(version=version, passed=True)
        promote(registry, ledger, passed, expected=ledger.champion(registry.model), why="test")


def intend(registry: Registry, ledger: Ledger, to: str, actor: str | None = None) -> None:
    expected = ledger.champion(registry.model)
    ledger.intend(registry.model, "promote", expected=expected, to=to, why="", actor=actor or who())


def test_a_version_that_passed_becomes_champion_in_alias_and_ledger(registry, ledger) -> None:
    registry.set_alias("challenger", "1")
    done = promote(registry, ledger, Registration(version="1", passed=True), expected=None, why="first")
    assert (done.promoted, done.champion_before, done.champion_after) == (True, None, "1")
    assert registry.champion() == ledger.champion(registry.model) == "1"
    assert registry.versions()[0].aliases == ["champion"]
    assert "@" in ledger.entries(registry.model)[0].actor


def test_a_version_that_failed_is_the_challenger_and_moves_nothing(registry, ledger) -> None:
    serve(registry, ledger, "1")
    done = promote(registry, ledger, Registration(version="3", passed=False), expected="1", why="")
    assert (done.promoted, done.champion_after) == (False, "1")
    assert registry.champion() == "1" and registry.versions()[2].aliases == ["challenger"]
    assert len(ledger.entries(registry.model)) == 1


def test_the_tag_in_the_registry_has_the_last_word_on_the_gates(registry, ledger) -> None:
    done = promote(registry, ledger, Registration(version="3", passed=True), expected=None, why="")
    assert not done.promoted and registry.champion() is None and not ledger.entries(registry.model)


def test_a_challenger_compared_with_a_former_champion_is_not_promoted(registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    with pytest.raises(ConflictError, match="is version 2 now, not 1"):
        promote(registry, ledger, Registration(version="4", passed=True), expected="1", why="stale")
    assert registry.champion() == "2"


def test_promoting_again_after_a_crash_writes_nothing_twice(registry, ledger) -> None:
    for _ in range(2):
        promote(registry, ledger, Registration(version="1", passed=True), expected=None, why="again")
    assert len(ledger.entries(registry.model)) == 1


def test_rollbacks_in_a_row_go_further_back(registry, ledger) -> None:
    serve(registry, ledger, "1", "2", "4")
    assert rollback(registry, ledger, None, why="bad").to_version == "2"
    entry = rollback(registry, ledger, None, why="worse")
    assert (entry.action, entry.from_version, entry.to_version, entry.why) == ("rollback", "2", "1", "worse")
    assert registry.champion() == "1"
    with pytest.raises(InputError, match="no earlier champion"):
        rollback(registry, ledger, None, why="too far")
    assert rollback(registry, ledger, "4", why="all good").to_version == "4"


@pytest.mark.parametrize("version", ["3", "99", "abc"])
def test_a_rollback_names_the_versions_that_can_serve(registry, ledger, version) -> None:
    serve(registry, ledger, "1")
    with pytest.raises(InputError, match=f"no version {version} .* there are: 1, 2, 4"):
        rollback(registry, ledger, version, why="")


def test_a_rollback_to_the_champion_is_refused(registry, ledger) -> None:
    serve(registry, ledger, "1")
    with pytest.raises(InputError, match="is the champion already"):
        rollback(registry, ledger, "1", why="")


def test_a_move_killed_before_the_alias_is_abandoned(registry, ledger) -> None:
    serve(registry, ledger, "1")
    intend(registry, ledger, "2")
    repair(registry, ledger)
    assert registry.champion() == ledger.champion(registry.model) == "1"
    assert [entry.state for entry in ledger.entries(registry.model)] == ["committed", "abandoned"]


def test_a_move_killed_after_the_alias_is_completed(registry, ledger) -> None:
    serve(registry, ledger, "1")
    intend(registry, ledger, "2")
    registry.set_alias("champion", "2")
    repair(registry, ledger)
    assert registry.champion() == ledger.champion(registry.model) == "2"


def test_a_move_under_way_on_another_machine_is_left_alone(registry, ledger) -> None:
    intend(registry, ledger, "1", actor="you@elsewhere")
    with pytest.raises(ConflictError, match="you@elsewhere is moving"):
        repair(registry, ledger)
    assert ledger.open_intent(registry.model) is not None


def test_a_move_that_is_settled_by_another_process_leaves_the_alias_with_the_ledger(registry, ledger) -> None:
    class Interrupted(Ledger):
        def commit(self, model, entry):
            ledger.abandon(model, entry)
            return super().commit(model, entry)

    serve(registry, ledger, "1")
    with pytest.raises(ConflictError):
        serve(registry, Interrupted(ledger.uri), "2")
    assert registry.champion() == ledger.champion(registry.model) == "1"


def test_an_alias_moved_by_hand_goes_back_and_is_told(registry, ledger, caplog) -> None:
    serve(registry, ledger, "1")
    registry.set_alias("champion", "3")
    with caplog.at_level(logging.WARNING):
        repair(registry, ledger)
    assert registry.champion() == "1" and "champion is 3 by alias, 1 by the ledger" in caplog.text


def test_a_new_ledger_adopts_the_champion_of_an_older_registry(registry, ledger) -> None:
    registry.set_alias("champion", "2")
    repair(registry, ledger)
    (entry,) = ledger.entries(registry.model)
    assert (entry.action, entry.to_version, entry.state) == ("adopt", "2", "committed")


def test_a_first_version_that_waits_for_a_person_is_not_adopted_because_somebody_moved_the_alias(
    registry, ledger
) -> None:
    wanted = PromotionSettings(approval="person")
    promote(registry, ledger, Registration(version="1", passed=True), expected=None, why="", wanted=wanted)
    registry.set_alias("champion", "1")
    repair(registry, ledger)
    assert registry.champion() is None and ledger.champion(registry.model) is None
    assert [one.action for one in ledger.entries(registry.model)] == ["wait", "alias_moved"]


def test_a_version_that_failed_its_gates_is_not_adopted(registry, ledger) -> None:
    registry.set_alias("champion", "3")
    with pytest.raises(StoreError, match=r"not the tag cl\.gates=passed"):
        repair(registry, ledger)
    assert ledger.champion(registry.model) is None


def test_a_deleted_champion_does_not_stand_in_the_way_of_a_rollback(registry, ledger, caplog) -> None:
    serve(registry, ledger, "1", "2")
    registry._client.delete_model_version(registry.model, "2")
    repair(registry, ledger)
    assert "was deleted" in caplog.text
    assert rollback(registry, ledger, None, why="deleted").to_version == "1"
    assert registry.champion() == "1"


def test_a_share_whose_change_was_killed_follows_the_ledger(registry, ledger) -> None:
    def share() -> str | None:
        return registry.versions()[1].tags.get("cl.share")

    serve(registry, ledger, "1")
    promote_by_hand(registry, ledger, "2", alias="canary", share=0.1, why="try it", despite_gates=True)
    seen = ledger.entries(registry.model)
    ledger.intend(
        registry.model, "promote", expected="1", to="2", why="", actor=who(), alias="canary", share=0.5, seen=seen
    )
    assert share() == "0.1"
    repair(registry, ledger)
    assert ledger.entries(registry.model)[-1].state == "committed" and share() == "0.5"


def test_a_move_that_the_registry_refuses_is_abandoned_and_the_ledger_is_free(registry, ledger) -> None:
    serve(registry, ledger, "1")
    registry._client.delete_model_version(registry.model, "4")
    seen = ledger.entries(registry.model)
    with pytest.raises(StoreError):
        move(registry, ledger, "promote", expected="1", to="4", why="", seen=seen)
    assert ledger.entries(registry.model)[-1].state == "abandoned"
    serve(registry, ledger, "2")
    assert registry.champion() == "2"


def test_repairing_what_is_whole_changes_nothing(registry, ledger) -> None:
    serve(registry, ledger, "1")
    before = ledger.entries(registry.model)
    repair(registry, ledger)
    assert ledger.entries(registry.model) == before and registry.champion() == "1"
