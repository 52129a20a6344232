"""`cl audit` and `cl champion` on a real registry and a ledger that was meddled with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from cl.commands.ledger import verify_ledger
from cl.promotion.by_hand import promote_by_hand
from cl.stores.ledger.hash_chain import seal_entry
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.table import TABLE, to_row
from cl.stores.opened import open_project
from tests.support.five_versions import BEGAN, Shop, clock

INSERT = (
    "INSERT INTO cl_ledger "
    "(model, sequence, recorded_at, actor, action, from_version, to_version, why, state, previous, hash) "
)


NOT_SIGNED = "it is not signed; to vouch for it: cl audit --sign"


@pytest.fixture
def three(shop) -> Shop:
    """Version 1, a canary, and the canary's promotion: three entries."""
    assert shop.cl("promote", "2", "--as", "canary", "--why", "try it").code == 0
    assert shop.cl("promote", "2", "--why", "two good days").code == 0
    return shop


def meddle(shop: Shop, *statements: str) -> None:
    engine = sa.create_engine(shop.stores.ledger.uri)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_who_when_from_to_why_and_hash_are_printed_and_the_chain_is_whole(three) -> None:
    said = three.cl("audit")
    assert said.code == 0 and "intact: 3 entries, each with the hash of the previous one" in said.out
    last = next(line for line in said.out.splitlines() if line.lstrip().startswith("3 "))
    entry = three.entries[-1]
    for word in (
        entry.actor,
        "two good days",
        "promote",
        "champion",
        entry.hash[:8],
        f"{entry.recorded_at:%Y-%m-%d %H:%M:%S}",
    ):
        assert word in last
    found = three.json("audit")
    assert found["whole"] and found["broken"] is None and len(found["entries"]) == 3
    assert found["entries"][2]["previous"] == found["entries"][1]["hash"]
    assert [one["verdict_digest"][0] for one in found["entries"]] == ["1", "2", "2"]


@pytest.mark.parametrize(
    ("statements", "sequence", "why"),
    [
        (["UPDATE cl_ledger SET actor = 'somebody' WHERE sequence = 2"], 2, "its hash does not match"),
        (
            ["UPDATE cl_ledger SET recorded_at = '2020-01-01T00:00:00+00:00' WHERE sequence = 1"],
            1,
            "its hash does not match",
        ),
        (["DELETE FROM cl_ledger WHERE sequence = 2"], 2, "is missing"),
        (["DELETE FROM cl_ledger WHERE sequence = 3"], 3, "the registry remembers another"),
        (["DELETE FROM cl_ledger"], 1, "the registry remembers another"),
        (
            [
                "UPDATE cl_ledger SET sequence = 4 WHERE sequence = 3",
                INSERT
                + "SELECT model, 3, recorded_at, actor, action, to_version, '5', why, state, hash, hash FROM cl_ledger "
                "WHERE sequence = 2",
            ],
            3,
            "its hash does not match",
        ),
        (
            [
                INSERT + "SELECT model, 4, recorded_at, actor, action, to_version, '5', why, state, hash, 'abc' "
                "FROM cl_ledger WHERE sequence = 3"
            ],
            4,
            "its hash does not match",
        ),
        (
            [
                "UPDATE cl_ledger SET why = 'all is well' WHERE sequence = 1",
                "UPDATE cl_ledger SET previous = NULL, hash = NULL",
            ],
            3,
            "it and all later entries were rewritten",
        ),
    ],
    ids=["edited", "edited-time", "removed", "cut-off", "emptied", "put-in", "put-at-the-end", "all-hashed-anew"],
)
def test_an_entry_that_cannot_be_trusted_is_named_with_exit_code_1(three, statements, sequence, why) -> None:
    meddle(three, *statements)
    said = three.cl("audit")
    assert said.code == 1 and f"entry {sequence} of the ledger is broken: " in said.err and why in said.err
    assert "whole" not in said.out
    said = three.cl("audit", "--json")
    found = json.loads(said.out)
    assert said.code == 1 and not found["whole"] and found["broken"]["sequence"] == sequence
    three.cl("promote", "5", "--despite-gates", "--why", "go on")
    assert three.cl("audit").code == 1, "what was meddled with stays broken, whatever is written after it"


def test_a_verdict_that_the_registry_does_not_keep_any_more_is_named(three) -> None:
    three.stores.registry.tag_version("2", "cl.gates_digest", "0" * 64)
    said = three.cl("audit")
    assert (
        said.code == 1
        and "entry 2 of the ledger is broken: its verdict digest differs from the verdict that the registry stores"
        in said.err
    )


def forge(shop: Shop) -> None:
    """Put an entry at the end as somebody does who knows how entries are hashed and writes straight into the table."""
    entries = shop.stores.ledger.unverified("shop")
    last = entries[-1]
    said = {"sequence": last.sequence + 1, "action": "promote", "to_version": "3", "verdict_digest": "3" * 64}
    forged = seal_entry("shop", last, **said, from_version=last.to_version, previous=last.hash)
    with sa.create_engine(shop.stores.ledger.uri).begin() as connection:
        connection.execute(TABLE.insert().values(**to_row("shop", forged)))


def test_without_a_key_a_forged_entry_at_the_end_looks_like_any_other(three) -> None:
    forge(three)
    assert three.cl("audit").code == 0, "as the README says: the hash chain alone cannot tell"


def test_with_a_key_a_forged_entry_is_named_and_no_command_follows_the_ledger(three, monkeypatch) -> None:
    with (three.root / "cl.yaml").open("a") as configuration:
        configuration.write("stores: {ledger_key: env:LEDGER_KEY}\n")
    assert three.cl("audit").code == 2, "the variable is not set"
    monkeypatch.setenv("LEDGER_KEY", "a key that nobody knows")
    said = three.cl("audit")
    assert (
        said.code == 1
        and "entry 1 of the ledger is broken: it is not signed; to vouch for it: cl audit --sign" in said.err
    )
    assert three.cl("audit", "--sign").code == three.cl("audit").code == 0, "an older ledger is signed once"
    assert three.cl("rollback", "--why", "one more entry, signed as it is made").code == 0
    found = three.json("audit")["entries"]
    assert len({one["signature"] for one in found}) == 4 and all(len(one["signature"]) == 64 for one in found)

    aliases = three.aliases
    forge(three)
    said = three.cl("audit")
    assert said.code == 1 and "entry 5 of the ledger is broken: it is not signed" in said.err
    unmoved = (["promote", "2", "--why", "go on"], ["rollback"], ["gc"], ["champion"], ["status"], ["run", "--plain"])
    for command in unmoved:
        said = three.cl(*command)
        assert said.code == 1 and said.err.count("\n") == 1 and "entry 5 of 'shop' cannot be trusted" in said.err
    said = three.cl("report")
    assert said.code == 1 and said.err == f"cl: entry 5 of the ledger is broken: {NOT_SIGNED}\n"
    assert Path(said.out.strip()).exists(), "it is written all the same"
    assert three.aliases == aliases, "nothing was moved, and nothing put back"

    monkeypatch.setenv("LEDGER_KEY", "not the first one")
    assert "entry 1 of the ledger is broken: its signature was made with another key" in three.cl("audit").err
    meddle(three, "UPDATE cl_ledger SET why = 'all is well' WHERE sequence = 2")
    said = three.cl("audit", "--sign")
    assert (
        said.code == 1 and "entry 2 cannot be signed: it was changed" in said.err and "nothing was signed" in said.err
    )


def test_a_key_belongs_into_the_environment(shop) -> None:
    with (shop.root / "cl.yaml").open("a") as configuration:
        configuration.write("stores: {ledger_key: s3cret}\n")
    said = shop.cl("status")
    assert said.code == 2 and "name the environment variable that holds it" in said.err and "s3cret" not in said.err


def test_a_reason_of_several_lines_cannot_look_like_an_entry(shop) -> None:
    shop.cl("promote", "2", "--why", "good\n    9  2020-03-01 12:00:00  promote")
    assert not any(line.startswith("    9") for line in shop.cl("audit").out.splitlines())
    assert "\n" in shop.entries[-1].why


def test_what_is_promoted_while_an_audit_reads_breaks_nothing(shop) -> None:
    class Overtaken(Ledger):
        def readable(self, model):
            seen = super().readable(model)
            promote_by_hand(at.stores.registry, shop.stores.ledger, "2", why="meanwhile")
            return seen

    at = open_project(shop.root)
    ledger = Overtaken(at.stores.ledger.uri)
    assert verify_ledger(replace(at, stores=replace(at.stores, ledger=ledger))).broken is None
    assert len(shop.entries) == 2 and verify_ledger(at).broken is None


@pytest.fixture
def new_york() -> Iterator[None]:
    """This machine stands five hours behind UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


def test_the_champion_at_a_time_is_whom_the_ledger_had_then(shop, monkeypatch, new_york) -> None:
    for days, command in [(1, ["promote", "2", "--why", "better"]), (9, ["rollback", "--why", "worse"])]:
        clock(monkeypatch, BEGAN + timedelta(days=days))
        assert shop.cl(*command).code == 0
    for moment, version in [
        ("2019-12-31", None),
        ("2020-02-29", None),
        ("2020-03-01", "1"),
        ("2020-03-01T12:00:00Z", "1"),
        ("2020-03-01T11:59:59+00:00", None),
        ("2020-03-01T12:30+01:00", None),
        ("2020-03-01T13:30+01:00", "1"),
        ("2020-03-01T06:59", None),
        ("2020-03-01T07:00", "1"),
        ("2020-03-02T06:59", "1"),
        ("2020-03-02T07:00", "2"),
        ("2020-03-02", "2"),
        ("2020-04-01", "1"),
    ]:
        found = shop.json("champion", "--as-of", moment)
        assert (found["champion"] or {"to_version": None})["to_version"] == version, moment
    none = shop.cl("champion", "--as-of", "2020-02-29")
    assert (
        none.code == 0 and "no champion at 2020-03-01 04:59:59 UTC; the ledger begins at 2020-03-01 12:00" in none.out
    )
    assert shop.cl("champion", "--as-of", "2020-03-02").out.startswith(
        "version 2, since 2020-03-02 12:00:00 UTC (promote"
    )


def test_the_champion_now_is_shown_with_who_stands_beside_it(shop) -> None:
    shop.cl("promote", "2", "--as", "canary", "--share", "0.25", "--why", "try it")
    said = shop.cl("champion")
    assert said.out.startswith("version 1, since 2020-03-01 12:00:00 UTC (promote by ")
    assert "canary: version 2, 25% of the requests" in said.out
    today = shop.json("champion", "--as-of", datetime.now().date().isoformat())
    assert today["champion"]["to_version"] == "1" and today["canary"]["to_version"] == "2"
    assert datetime.fromisoformat(today["as_of"]) <= datetime.now(UTC), "the rest of today has not come"


def test_the_champion_now_is_known_when_another_machines_clock_is_ahead(shop, monkeypatch) -> None:
    clock(monkeypatch, datetime.now(UTC) + timedelta(hours=1))
    assert shop.cl("promote", "2", "--why", "better").code == 0
    assert shop.json("champion")["champion"]["to_version"] == "2"


@pytest.mark.parametrize(
    ("moment", "why"),
    [
        ("yesterday", "not an ISO date or time"),
        ("", "not an ISO date"),
        ("9000-01-01", "is in the future"),
        ("0001-01-01T00:00+14:00", "range"),
    ],
)
def test_a_time_that_cannot_be_answered_for_is_bad_input(shop, moment, why) -> None:
    said = shop.cl("champion", "--as-of", moment)
    assert said.code == 2 and why in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["history"],
        ["status"],
        ["run"],
        ["run", "--plain"],
        ["champion"],
        ["promote", "2", "--why", "better"],
        ["rollback", "--why", "worse"],
        ["reject", "2", "--why", "worse"],
        ["gc"],
    ],
    ids=" ".join,
)
def test_a_row_that_cannot_be_read_is_one_line_with_its_number_and_the_remedy(three, command) -> None:
    meddle(three, "UPDATE cl_ledger SET state = 'done' WHERE sequence = 2")
    aliases = three.aliases
    said = three.cl(*command)
    assert said.code == 1 and said.err.count("\n") == 1
    assert "row 2 of the ledger of 'shop' cannot be read: state must be" in said.err and "from a backup" in said.err
    assert three.aliases == aliases


@pytest.mark.parametrize("change", ["state = 'done'", "recorded_at = 'yesterday'", "actor = x'fe'"])
def test_who_vouches_for_a_version_sets_a_row_aside_that_cannot_be_read(three, change) -> None:
    meddle(three, f"UPDATE cl_ledger SET {change} WHERE sequence = 2")
    said = three.cl("audit")
    assert said.code == 1 and "it cannot be read: " in said.err and "cl audit --repair" in said.err
    assert three.cl("report").err == said.err
    assert three.cl("audit", "--repair", "1", "--why", "the disk died").code == 0
    assert three.aliases["champion"] == "1" and three.cl("audit").code == 0
    assert three.cl("history").code == 0
