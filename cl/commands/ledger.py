"""`cl audit` and `cl champion`: what the ledger says, whether it can be trusted, and who served at any time."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from cl.errors import InputError, IntegrityError
from cl.records import IntegrityViolation, LedgerEntry, Record, VersionInfo
from cl.registry.versions import verdict_digest
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.opened import OpenProject, open_project


class ReadLedger(Record):
    """All entries of a ledger, oldest first, and the first that cannot be trusted."""

    entries: list[LedgerEntry]
    broken: IntegrityViolation | None


def audit(folder: Path) -> dict[str, Any]:
    """Return the ledger's entries, and the first that cannot be trusted."""
    return _told(open_project(folder))


def sign_all(folder: Path) -> dict[str, Any]:
    """Sign all entries with the key that the configuration names, once the chain is whole without; return them.

    Raises:
        InputError: no key is named.
        IntegrityError: the chain is broken; nothing was signed.
    """
    at = open_project(folder)
    ledger, model, key = at.stores.ledger, at.config.name, at.stores.ledger.key
    if key is None:
        raise InputError("there is no key to sign with; set stores.ledger_key to env:NAME")
    head, entries = at.stores.registry.ledger_head(), ledger.unverified(model)
    if found := first_violation(model, entries, head=head):
        raise IntegrityError(f"entry {found.sequence} cannot be signed: {found.why}; nothing was signed")
    ledger.sign(model, entries, key)
    return _told(at)


def _told(at: OpenProject) -> dict[str, Any]:
    at.stores.registry.initialise()
    read = verify_ledger(at)
    return {
        "model": at.config.name,
        "entries": [one.model_dump(mode="json") for one in read.entries],
        "whole": read.broken is None,
        "broken": read.broken and read.broken.model_dump(),
    }


def verify_ledger(at: OpenProject) -> ReadLedger:
    """Return the ledger of an opened project and whether it can be trusted.

    Hashes, and signatures if there is a key, are computed anew, the last entry is compared with the one that the
    registry remembers, and each verdict with the one that the registry keeps of the version.
    """
    head = at.stores.registry.ledger_head()  # first: what is written while this reads is not missed afterwards
    entries = at.stores.ledger.unverified(at.config.name)
    broken = first_violation(at.config.name, entries, head=head, key=at.stores.ledger.key)
    return ReadLedger(entries=entries, broken=broken or _other_verdict(entries, at.stores.registry.versions()))


def champion_at(folder: Path, as_of: str | None) -> dict[str, Any]:
    """Return who serves by the ledger, now or at a time, beside whom, and the entry that says so.

    Raises:
        InputError: the time cannot be read, or has not come.
    """
    at = open_project(folder)
    moment = datetime.now(UTC) if as_of is None else parse_moment(as_of)
    entries = at.stores.ledger.entries(at.config.name)
    # now is all that there is: another machine's clock may be ahead of this one's
    held = state.holders(entries if as_of is None else state.entries_until(entries, moment))
    return {
        "model": at.config.name,
        "as_of": moment.isoformat(),
        "first_entry": entries[0].at.isoformat() if entries else None,
        **{alias: held[alias].model_dump(mode="json") if alias in held else None for alias in state.ALIASES},
    }


def parse_moment(text: str) -> datetime:
    """Return the moment that a text names; a date is its last moment, today's is now; without a zone, this machine's.

    Raises:
        InputError: it is no ISO date or time, or it has not come: nobody knows who will serve.
    """
    now = datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--as-of {text}: no ISO date or time; such as 2026-03-01 or 2026-03-01T12:00+01:00") from None
    is_date = len(text) <= len("2026-03-01") and moment.time() == time.min
    try:
        if moment.astimezone(UTC) > now:
            raise InputError(f"--as-of {text}: has not come; it is {now:%Y-%m-%dT%H:%M:%SZ} now")
        last = datetime.combine(moment, time.max) if is_date else moment
        return min(last.astimezone(UTC), now)
    except (OverflowError, ValueError, OSError):
        raise InputError(f"--as-of {text}: out of the range of dates") from None


def _other_verdict(entries: list[LedgerEntry], versions: list[VersionInfo]) -> IntegrityViolation | None:
    for one in entries:
        kept = verdict_digest(versions, one.to_version)
        if one.verdict_digest and kept and kept != one.verdict_digest and one.state == "committed":
            why = f"it rests on another verdict than the registry keeps of version {one.to_version}"
            return IntegrityViolation(sequence=one.sequence, why=why)
    return None
