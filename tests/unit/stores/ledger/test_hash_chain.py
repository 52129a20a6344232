from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cl.records import LedgerEntry
from cl.stores.ledger.hash_chain import fingerprint, first_violation, seal_entry

START = datetime(2026, 1, 1, tzinfo=UTC)


def chain(length: int = 4) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for at in range(1, length + 1):
        entry = LedgerEntry(
            sequence=at, recorded_at=START + timedelta(days=at), actor="anna@desk", action="promote", alias="champion",
            from_version=str(at - 1) if at > 1 else None, to_version=str(at), why=f"learnt {at}", state="committed",
            previous=entries[-1].hash if entries else "",
        )  # fmt: skip
        entries.append(seal_entry("m", entry))
    return entries


def test_a_chain_as_it_was_written_is_whole() -> None:
    entries = chain()
    assert first_violation("m", entries) is None and first_violation("m", entries, head=(4, entries[-1].hash)) is None
    assert first_violation("m", entries, head=(2, entries[1].hash)) is None, "the registry may have been told later"
    assert first_violation("m", []) is None


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "eve@desk"},
        {"why": "learnt 9"},
        {"to_version": "9"},
        {"from_version": None},
        {"state": "abandoned"},
        {"action": "rollback"},
        {"alias": "canary"},
        {"share": 0.5},
        {"verdict_digest": "0" * 64},
        {"recorded_at": START},
        {"hash": "0" * 64},
        {"hash": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_edited_entry_is_named_whatever_was_edited(change) -> None:
    entries = chain()
    entries[1] = entries[1].model_copy(update=change)
    found = first_violation("m", entries)
    assert found is not None and found.sequence == 2 and "changed" in found.why


def test_an_edited_entry_that_was_hashed_anew_breaks_the_one_after_it() -> None:
    entries = chain()
    entries[1] = seal_entry("m", entries[1], why="another reason")
    found = first_violation("m", entries)
    assert found is not None and found.sequence == 3


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_removed_entry_is_named(gone) -> None:
    entries = [one for one in chain() if one.sequence != gone]
    found = first_violation("m", entries)
    assert found is not None and (found.sequence, found.why) == (gone, "it is missing")


def test_an_entry_that_was_put_in_is_found_even_when_those_after_it_were_counted_anew() -> None:
    entries = chain()
    extra = seal_entry("m", entries[1], sequence=3, to_version="7", previous=entries[1].hash)
    later = [one.model_copy(update={"sequence": one.sequence + 1}) for one in entries[2:]]
    found = first_violation("m", [*entries[:2], extra, *later])
    assert found is not None and found.sequence == 4


@pytest.mark.parametrize("left", [0, 3])
def test_entries_that_were_cut_off_at_the_end_are_missed_by_the_registry_alone(left) -> None:
    entries = chain()
    assert first_violation("m", entries[:left]) is None
    found = first_violation("m", entries[:left], head=(4, entries[3].hash))
    assert found is not None and found.sequence == left + 1 and "registry remembers" in found.why


def test_an_end_that_was_written_anew_is_found_by_what_the_registry_remembers() -> None:
    entries = chain()
    head = (4, entries[3].hash)
    entries[3] = seal_entry("m", entries[3], actor="eve@desk")
    assert first_violation("m", entries) is None
    found = first_violation("m", entries, head=head)
    assert found is not None and found.sequence == 4


def test_the_hash_of_an_entry_is_of_its_model_and_stays_what_it_was() -> None:
    entry = chain(1)[0]
    assert fingerprint("m", entry) != fingerprint("other", entry)
    assert entry.hash == "52b7cd8f7d0709b568604fb1e26022b2b5db623e0d011e75d0c2007226d788c7"


def test_an_entry_without_a_value_for_a_later_field_keeps_its_hash() -> None:
    entry = chain(1)[0]
    assert fingerprint("m", entry.model_copy(update={"share": None, "verdict_digest": None})) == entry.hash


def test_with_a_key_an_entry_that_was_signed_without_it_is_named() -> None:
    key = b"a key"
    entries = [seal_entry("m", one, key=key) for one in chain()]
    assert first_violation("m", entries, key=key) is None and first_violation("m", entries) is None
    assert [one.hash for one in entries] == [one.hash for one in chain()], "a signature is not a part of the hash"
    for forged, why in (
        (seal_entry("m", entries[3]), "not signed"),
        (seal_entry("m", entries[3], key=b"k"), "another key"),
    ):
        found = first_violation("m", [*entries[:3], forged], key=key)
        assert found is not None and found.sequence == 4 and why in found.why
