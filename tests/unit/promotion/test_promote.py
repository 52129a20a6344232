from __future__ import annotations

import pytest

from cl.config import PromotionSettings
from cl.errors import ConflictError, InputError, RefusedError, StoreError
from cl.promotion.by_hand import promote_by_hand, rollback, withdraw
from cl.promotion.promote import promote
from cl.records import WITHDRAWN, Registration
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import SMOKE_TAG, Registry
from cl.testing import MemoryRegistry
from tests.support.tiny import serve


def versions_with(registry: Registry, tag: str) -> dict[str, str]:
    return {one.version: one.tags[tag] for one in registry.versions() if tag in one.tags}


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


def test_a_move_that_is_settled_by_another_process_leaves_the_alias_with_the_ledger(registry, ledger) -> None:
    class Interrupted(Ledger):
        def commit(self, model, entry):
            ledger.abandon(model, entry)
            return super().commit(model, entry)

    serve(registry, ledger, "1")
    with pytest.raises(ConflictError):
        serve(registry, Interrupted(ledger.uri), "2")
    assert registry.champion() == ledger.champion(registry.model) == "1"


def test_an_entry_says_on_which_verdict_it_rests_and_the_registry_remembers_the_last(registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    entries = ledger.entries(registry.model)
    assert [one.verdict_digest for one in entries] == ["1" * 64, "2" * 64]
    assert registry.ledger_head() == (2, entries[1].hash) and first_violation(registry.model, entries) is None


def test_a_person_promotes_what_passed_beside_the_present_champion(registry, ledger) -> None:
    serve(registry, ledger, "1")
    entry = promote_by_hand(registry, ledger, "2", why="the month is over")
    assert (entry.action, entry.from_version, entry.to_version, entry.why) == (
        "promote", "1", "2", "the month is over",
    )  # fmt: skip
    assert registry.champion() == ledger.champion(registry.model) == "2"


def test_a_version_that_failed_is_promoted_only_by_somebody_who_answers_for_it(registry, ledger) -> None:
    serve(registry, ledger, "1")
    with pytest.raises(RefusedError, match="version 3 did not pass its gates") as refused:
        promote_by_hand(registry, ledger, "3", why="I like it")
    assert refused.value.exit_code == 3
    with pytest.raises(InputError, match="needs a reason: --why"):
        promote_by_hand(registry, ledger, "3", why=" ", despite_gates=True)
    assert registry.champion() == "1"
    entry = promote_by_hand(registry, ledger, "3", why="I answer for it", despite_gates=True)
    assert (entry.action, entry.to_version, entry.why) == ("override", "3", "I answer for it")
    serve(registry, ledger, "4")
    assert rollback(registry, ledger, None, why="").to_version == "3", "it has served, by a person's word"


@pytest.mark.parametrize(
    ("tag", "value", "refusal", "says"),
    [
        (
            SMOKE_TAG,
            "failed",
            RefusedError,
            r"version 2 of .* failed its smoke test .* cannot serve, whatever the reason",
        ),
        (
            WITHDRAWN,
            "it holds rows that were forgotten",
            InputError,
            "version 2 of .* cannot serve again: it holds",
        ),
    ],
)
def test_what_does_not_load_or_was_withdrawn_serves_for_no_reason(registry, ledger, tag, value, refusal, says) -> None:
    serve(registry, ledger, "1")
    registry.tag_version("2", tag, value)
    with pytest.raises(refusal, match=says):
        promote_by_hand(registry, ledger, "2", alias="canary", share=0.1, why="I answer for it", despite_gates=True)
    assert registry.aliases() == {"champion": "1"} and len(ledger.entries(registry.model)) == 1


def test_a_version_that_was_compared_with_a_former_champion_is_not_promoted_by_hand(registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    with pytest.raises(ConflictError, match="compared version 4 with champion 1, and version 2 serves now"):
        promote_by_hand(registry, ledger, "4", why="as agreed")
    assert promote_by_hand(registry, ledger, "4", why="all the same", despite_gates=True).action == "override"


@pytest.mark.parametrize(("version", "says"), [("9", "there are: 1, 2, 3, 4"), ("1", "is the champion already")])
def test_what_cannot_be_promoted_is_told(registry, ledger, version, says) -> None:
    serve(registry, ledger, "1")
    with pytest.raises(InputError, match=says):
        promote_by_hand(registry, ledger, version, why="as agreed")


def test_a_shadow_becomes_a_canary_and_then_the_champion_and_serving_can_follow_by_alias_and_tag(
    registry, ledger
) -> None:
    serve(registry, ledger, "1")
    promote_by_hand(registry, ledger, "2", alias="shadow", share=1.0, why="look")
    assert registry.aliases() == {"champion": "1", "shadow": "2"} and versions_with(registry, "cl.share") == {"2": "1"}
    promote_by_hand(registry, ledger, "2", alias="canary", share=0.1, why="try")
    assert registry.aliases() == {"champion": "1", "canary": "2"}
    assert versions_with(registry, "cl.share") == {"2": "0.1"}
    with pytest.raises(InputError, match="is the canary already"):
        promote_by_hand(registry, ledger, "2", alias="canary", share=0.1, why="again")
    promote_by_hand(registry, ledger, "2", alias="canary", share=0.5, why="more")
    assert versions_with(registry, "cl.share") == {"2": "0.5"} and registry.champion() == "1"
    promote_by_hand(registry, ledger, "2", why="well done")
    assert registry.aliases() == {"champion": "2"} and versions_with(registry, "cl.share") == {}
    entries = ledger.entries(registry.model)
    assert [(one.alias, one.share) for one in entries[1:]] == [
        ("shadow", 1.0), ("canary", 0.1), ("canary", 0.5), ("champion", None),
    ]  # fmt: skip
    assert state.previous_champion(entries) == "1"


def test_a_canary_gives_its_place_to_another_and_can_be_withdrawn(registry, ledger) -> None:
    serve(registry, ledger, "1")
    with pytest.raises(InputError, match="has no canary to withdraw"):
        withdraw(registry, ledger, "canary", why="as agreed")
    for version, share in (("2", 0.1), ("4", 0.2)):
        promote_by_hand(registry, ledger, version, alias="canary", share=share, why="as agreed")
    assert versions_with(registry, "cl.share") == {"4": "0.2"}
    entry = withdraw(registry, ledger, "canary", why="it errs")
    assert (entry.action, entry.from_version, entry.to_version) == ("withdraw", "4", None)
    assert registry.aliases() == {"champion": "1"} and versions_with(registry, "cl.share") == {}


def test_a_cycle_can_make_a_canary_of_what_passed_and_the_first_version_serves(registry, ledger) -> None:
    wanted = PromotionSettings(to="canary", share=0.2)
    for version, expected in (("1", None), ("2", "1"), ("2", "1")):
        passed = Registration(version=version, passed=True)
        done = promote(registry, ledger, passed, expected=expected, why="", wanted=wanted)
    assert (done.promoted, done.trial_alias, done.share, done.champion_after) == (False, "canary", 0.2, "1")
    assert registry.aliases() == {"champion": "1", "canary": "2"}
    assert len(ledger.entries(registry.model)) == 2, "repeated, it writes nothing twice"


def test_a_registry_that_refuses_leaves_the_champion_and_the_ledger_as_they_were(registry, ledger) -> None:
    class Refusing(MemoryRegistry):
        def set_alias(self, alias, version):
            raise StoreError("no")

    serve(registry, ledger, "1")
    with pytest.raises(StoreError):
        serve(Refusing(model=registry.model, memory=registry.memory), ledger, "2")
    assert registry.champion() == ledger.champion(registry.model) == "1"
    serve(registry, ledger, "4")
    assert first_violation(registry.model, ledger.entries(registry.model), head=registry.ledger_head()) is None
