"""`cl promote`, `cl approve`, `cl reject` on a real registry and ledger."""

from __future__ import annotations

import pytest

from tests.support.five_versions import Shop


def moves(shop: Shop) -> list[tuple[str, str, str | None]]:
    """What was written after version 1 became the champion."""
    return [(one.action, one.alias, one.to_version) for one in shop.entries[1:]]


def share_of(shop: Shop, version: str) -> str | None:
    return next(one.tags.get("cl.share") for one in shop.stores.registry.versions() if one.version == version)


def test_a_version_that_passed_is_promoted_by_hand_in_alias_and_ledger(shop) -> None:
    said = shop.cl("promote", "2", "--why", "better on complaints")
    assert said.code == 0 and said.out == "version 2 is the champion (was 1); ledger entry 2\n"
    last = shop.entries[-1]
    assert (last.action, last.from_version, last.why, last.verdict_digest) == (
        "promote", "1", "better on complaints", "2" * 64,
    )  # fmt: skip
    assert shop.aliases == {"champion": "2"} and shop.cl("audit").code == 0


def test_a_move_by_hand_without_a_reason_is_bad_usage(shop) -> None:
    for what in (["2"], ["3", "--despite-gates"], ["2", "--as", "shadow"], ["--withdraw", "canary"]):
        for words in ([], ["--why", ""], ["--why", "  "]):
            said = shop.cl("promote", *what, *words)
            assert said.code == 2 and "--why" in said.err
    assert moves(shop) == []


def test_a_version_that_failed_its_gates_is_promoted_only_by_who_answers_for_it(shop) -> None:
    for alias in ("champion", "canary"):
        said = shop.cl("promote", "3", "--as", alias, "--why", "I like it")
        assert said.code == 3 and "version 3 did not pass its gates (`cl gates 3`)" in said.err
    assert moves(shop) == [] and shop.aliases == {"champion": "1"}
    said = shop.cl("promote", "3", "--despite-gates", "--why", "the floor is wrong, see ticket 7")
    assert said.code == 0 and moves(shop) == [("override", "champion", "3")]
    assert shop.aliases == {"champion": "3"} and shop.json("champion")["champion"]["why"].endswith("see ticket 7")
    assert shop.cl("rollback").code == 0 and shop.cl("rollback", "3").code == 0, "who served may serve again"


def test_a_version_that_was_compared_with_a_former_champion_is_not_promoted(shop) -> None:
    shop.cl("promote", "2", "--why", "better")
    said = shop.cl("promote", "5", "--why", "better still")
    assert said.code == 1 and "compared version 5 with champion 1, and version 2 serves now" in said.err
    assert shop.aliases == {"champion": "2"}
    assert shop.cl("promote", "5", "--despite-gates", "--why", "measured by hand").code == 0
    assert moves(shop)[-1] == ("override", "champion", "5")


def test_a_version_whose_smoke_test_has_not_ended_is_not_promoted_for_any_reason(shop) -> None:
    for words in ([], ["--despite-gates"], ["--as", "canary"]):
        said = shop.cl("promote", "4", *words, "--why", "in a hurry")
        assert said.code == 3 and "the smoke test of version 4 has not ended; `cl run`" in said.err
    assert shop.cl("rollback", "4").code == 2 and shop.cl("approve", "4").code == 2
    for approval in ("none", "person"):
        done = shop.passes("4", approval=approval)
        assert not done.promoted and not done.waiting
    assert moves(shop) == [] and shop.aliases == {"champion": "1", "challenger": "4"}


def test_a_canary_gets_its_share_until_it_is_champion(shop) -> None:
    assert "version 2 is the canary for 25% of the requests" in shop.cl(
        "promote", "2", "--as", "canary", "--share", "0.25", "--why", "try it"
    ).out  # fmt: skip
    assert shop.aliases == {"champion": "1", "canary": "2"} and share_of(shop, "2") == "0.25"
    assert shop.json("status")["canary"]["share"] == 0.25 and "25% of the requests" in shop.cl("status").out
    again = shop.cl("promote", "2", "--as", "canary", "--share", "0.25", "--why", "twice")
    assert again.code == 2 and "is the canary already" in again.err
    assert shop.cl("promote", "2", "--as", "canary", "--share", "0.5", "--why", "more").code == 0
    assert share_of(shop, "2") == "0.5"
    assert shop.cl("promote", "2", "--why", "good").code == 0
    assert shop.aliases == {"champion": "2"} and share_of(shop, "2") is None
    assert shop.json("status")["canary"] is None


def test_a_canary_becomes_a_shadow_and_another_takes_its_place(shop) -> None:
    shop.cl("promote", "2", "--as", "canary", "--why", "try it")
    shop.cl("promote", "2", "--as", "shadow", "--why", "too early")
    assert shop.aliases == {"champion": "1", "shadow": "2"} and share_of(shop, "2") == "1"
    shop.cl("promote", "5", "--as", "shadow", "--share", "0.3", "--why", "better")
    assert shop.aliases == {"champion": "1", "shadow": "5"}
    assert (share_of(shop, "2"), share_of(shop, "5")) == (None, "0.3")


def test_a_canary_is_withdrawn(shop) -> None:
    said = shop.cl("promote", "--withdraw", "canary", "--why", "none there")
    assert said.code == 2 and "has no canary to withdraw" in said.err
    shop.cl("promote", "2", "--as", "canary", "--why", "try it")
    said = shop.cl("promote", "--withdraw", "canary", "--why", "too slow")
    assert said.code == 0 and said.out == "version 2 is no longer the canary; ledger entry 3\n"
    assert shop.aliases == {"champion": "1"} and share_of(shop, "2") is None
    assert shop.json("status")["canary"] is None and shop.cl("audit").code == 0


def test_what_cannot_be_promoted_is_bad_input_and_moves_nothing(shop) -> None:
    for words in (
        ["9"],
        ["1"],
        ["abc", "--as", "canary"],
        ["1", "--as", "canary"],
        ["2", "--share", "0.5"],
        ["2", "--as", "canary", "--share", "0"],
        ["2", "--as", "canary", "--share", "1.5"],
        ["2", "--as", "challenger"],
        ["2", "--withdraw", "canary"],
        [],
    ):
        assert shop.cl("promote", *words, "--why", "because").code == 2, words
    assert moves(shop) == [] and shop.aliases == {"champion": "1"}


def test_a_version_that_waits_is_shown_and_serves_when_it_is_approved(shop) -> None:
    done = shop.passes("2", approval="person")
    assert done.waiting and not done.promoted and shop.aliases == {"champion": "1", "challenger": "2"}
    assert shop.passes("2", approval="person").waiting and len(shop.entries) == 2, "it asks once"
    line = next(one for one in shop.cl("status").out.splitlines() if one.startswith("approval"))
    assert "version 2 (learnt month-2) waiting since" in line and "cl approve 2, or cl reject 2 --why TEXT" in line
    said = shop.cl("approve", "2", "--why", "read fifty answers")
    assert said.code == 0 and said.out.startswith("approved: version 2 is the champion (was 1)")
    assert moves(shop) == [("wait", "champion", "2"), ("approve", "champion", "2")]
    assert shop.aliases == {"champion": "2"} and shop.entries[-1].verdict_digest == "2" * 64
    assert shop.json("status")["approval"] is None and shop.passes("2", approval="person").promoted
    late = shop.cl("reject", "2", "--why", "too late")
    assert late.code == 1 and "no longer waits for approval: decided by" in late.err and "approve" in late.err


def test_a_rejection_needs_a_reason_and_the_champion_serves_on(shop) -> None:
    shop.passes("2", approval="person")
    assert shop.cl("reject", "2").code == 2 and shop.cl("reject", "2", "--why", " ").code == 2
    said = shop.cl("reject", "2", "--why", "rude to customers")
    assert said.code == 0 and said.out.startswith("version 2 is rejected; the champion is unchanged (version 1)")
    assert shop.aliases["champion"] == "1" and shop.json("status")["approval"] is None
    late = shop.cl("approve", "2")
    assert late.code == 1 and "decided by" in late.err and "reject" in late.err
    assert not shop.passes("2", approval="person").waiting, "a cycle that goes on after the answer asks no more"
    assert len(shop.entries) == 3


def test_an_approval_is_stale_when_another_version_serves_by_then(shop) -> None:
    shop.passes("2", approval="person")
    shop.cl("promote", "5", "--why", "better")
    said = shop.cl("approve", "2")
    assert said.code == 1 and "it was compared with champion 1, but version 5 has served since" in said.err
    assert shop.aliases["champion"] == "5" and shop.json("status")["approval"] is None


def test_a_later_version_takes_the_place_of_one_that_waits(shop) -> None:
    shop.passes("2", approval="person")
    shop.passes("5", approval="person", to="canary", share=0.2)
    said = shop.cl("approve", "2")
    assert said.code == 1 and "version 5 waits in its place" in said.err
    assert shop.cl("approve", "5").out.startswith("approved: version 5 is the canary for 20% of the requests")
    assert shop.aliases == {"champion": "1", "canary": "5"} and share_of(shop, "5") == "0.2"


def test_a_version_that_never_waited_or_lost_its_tag_cannot_be_approved(shop) -> None:
    for version in ("2", "3", "4", "99"):
        said = shop.cl("approve", version)
        assert said.code == 2 and f"version {version} of 'shop' does not wait for approval; none does" in said.err
    shop.passes("2", approval="person")
    shop.stores.registry.tag_version("2", "cl.gates", "failed")
    said = shop.cl("approve", "2")
    assert said.code == 3 and "lacks the tag cl.gates=passed" in said.err and shop.aliases["champion"] == "1"
    assert shop.cl("reject", "2", "--why", "so be it").code == 0


@pytest.mark.parametrize(("alias", "to"), [("champion", "3"), ("champion", None), ("canary", "2"), ("shadow", "5")])
def test_an_alias_moved_by_hand_is_written_down_put_back_and_shown(shop, alias, to) -> None:
    registry = shop.stores.registry
    registry.delete_alias(alias) if to is None else registry.set_alias(alias, to)
    assert shop.json("champion")["champion"]["to_version"] == "1", "nobody is fooled before it is put back"
    assert shop.cl("promote", "9", "--why", "a command that fails").code == 2
    assert shop.aliases == {"champion": "1"} and moves(shop) == [("alias_moved", alias, to)]
    (entry,) = shop.entries[1:]
    wanted = "1" if alias == "champion" else None
    assert entry.state == "committed" and entry.why == (
        f"alias moved by hand: {alias} is {to} by alias, {wanted} by the ledger, which prevails; restored"
    )
    assert "alias_moved" in shop.cl("audit").out and shop.cl("audit").code == 0
    assert shop.cl("promote", "9", "--why", "once more").code == 2 and len(shop.entries) == 2, "it is written once"


def test_a_version_that_waits_does_not_serve_because_somebody_moved_the_alias(shop) -> None:
    shop.passes("2", approval="person")
    shop.stores.registry.set_alias("champion", "2")
    assert shop.cl("reject", "2", "--why", "not this way").code == 0
    assert shop.aliases["champion"] == "1"
    assert [one[0] for one in moves(shop)] == ["wait", "alias_moved", "reject"]
