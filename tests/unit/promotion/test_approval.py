from __future__ import annotations

import pytest

from cl.config import PromotionSettings
from cl.errors import ConflictError, InputError
from cl.promotion.approval import approve, reject
from cl.promotion.by_hand import promote_by_hand
from cl.promotion.promote import promote
from cl.records import Promotion, Registration
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry
from tests.support.tiny import serve

BY_PERSON = PromotionSettings(approval="person")


def asks(
    registry: Registry, ledger: Ledger, version: str, expected: str | None = "1", wanted: PromotionSettings = BY_PERSON
) -> Promotion:
    passed = Registration(version=version, passed=True)
    return promote(registry, ledger, passed, expected=expected, why=f"learnt {version}", wanted=wanted)


def test_a_version_that_passed_waits_as_the_challenger_and_the_champion_serves_on(registry, ledger) -> None:
    serve(registry, ledger, "1")
    for _ in range(2):  # killed and repeated, it asks once
        done = asks(registry, ledger, "2")
    assert (done.waiting, done.promoted, done.champion_after) == (True, False, "1")
    assert registry.aliases() == {"champion": "1", "challenger": "2"}
    assert [one.action for one in ledger.entries(registry.model)] == ["promote", "wait"]


def test_a_yes_promotes_and_says_who_and_why_and_on_which_verdict(registry, ledger) -> None:
    serve(registry, ledger, "1")
    asks(registry, ledger, "2")
    entry = approve(registry, ledger, "2", why="looks good", actor="ana@desk")
    assert (entry.action, entry.actor, entry.why, entry.from_version, entry.to_version) == (
        "approve", "ana@desk", "looks good", "1", "2",
    )  # fmt: skip
    assert entry.verdict_digest == "2" * 64
    assert registry.aliases() == {"champion": "2"} and state.pending_approval(ledger.entries(registry.model)) is None
    assert asks(registry, ledger, "2").promoted, "the cycle that lay killed goes on from there"
    with pytest.raises(ConflictError, match=r"decided by ana@desk at .*: approve"):
        reject(registry, ledger, "2", why="too late")


def test_a_no_moves_nothing_and_needs_a_reason(registry, ledger) -> None:
    serve(registry, ledger, "1")
    asks(registry, ledger, "2")
    with pytest.raises(InputError, match="needs a reason"):
        reject(registry, ledger, "2", why="")
    entry = reject(registry, ledger, "2", why="it misreads loans")
    assert (entry.action, entry.state, entry.to_version) == ("reject", "committed", "2")
    assert registry.champion() == ledger.champion(registry.model) == "1"
    with pytest.raises(ConflictError, match="no longer waits for approval"):
        approve(registry, ledger, "2")
    again = asks(registry, ledger, "2")
    assert not again.waiting and not again.promoted, "repeated, the step does not ask once more"
    entries = ledger.entries(registry.model)
    assert first_violation(registry.model, entries, head=registry.ledger_head()) is None


def test_a_yes_to_what_was_compared_with_a_former_champion_is_refused(registry, ledger) -> None:
    serve(registry, ledger, "1")
    asks(registry, ledger, "2")
    promote_by_hand(registry, ledger, "4", why="first")
    with pytest.raises(ConflictError, match="compared with champion 1, but version 4 has served since"):
        approve(registry, ledger, "2")
    assert registry.champion() == "4"


def test_the_later_of_two_that_passed_takes_the_place_of_the_earlier(registry, ledger) -> None:
    serve(registry, ledger, "1")
    asks(registry, ledger, "2")
    asks(registry, ledger, "4")
    with pytest.raises(ConflictError, match="version 4 waits in its place"):
        approve(registry, ledger, "2")
    assert approve(registry, ledger, "4").to_version == "4"


def test_only_what_waits_can_be_decided(registry, ledger) -> None:
    serve(registry, ledger, "1")
    with pytest.raises(InputError, match=r"version 2 of .* does not wait for approval; none does"):
        approve(registry, ledger, "2")


def test_a_version_compared_with_a_former_champion_does_not_even_wait(registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    with pytest.raises(ConflictError, match="is version 2 now, not 1"):
        asks(registry, ledger, "4", expected="1")


def test_approved_it_becomes_what_it_was_to_become(registry, ledger) -> None:
    serve(registry, ledger, "1")
    asks(registry, ledger, "2", wanted=PromotionSettings(approval="person", to="canary", share=0.2))
    entry = approve(registry, ledger, "2")
    assert (entry.alias, entry.share) == ("canary", 0.2)
    assert registry.aliases() == {"champion": "1", "canary": "2"}


def test_of_two_answers_that_read_the_same_ledger_the_second_is_refused(registry, ledger) -> None:
    class Late(Ledger):
        def entries(self, model):
            seen = super().entries(model)
            if state.pending_approval(seen):
                reject(registry, ledger, "2", why="first")
            return seen

    serve(registry, ledger, "1")
    asks(registry, ledger, "2", wanted=PromotionSettings(approval="person", to="canary"))
    with pytest.raises(ConflictError):
        approve(registry, Late(ledger.uri), "2")
    assert registry.aliases()["champion"] == "1" and "canary" not in registry.aliases()
