"""The hash chain of the promotion ledger: an entry that was edited, removed or put in later is found.

Each entry holds the hash of the one before, and is hashed as a whole. An intent is sealed anew when it is settled, as
no entry may follow it before; the next one is chained to the seal with its outcome. What a chain cannot show is that
its newest entries were cut off: for that the registry remembers the last one. Nor that one was put at its end by
somebody who knows how it is hashed: for that each may be signed with a key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from cl.records import IntegrityViolation, LedgerEntry


def seal_entry(model: str, entry: LedgerEntry, *, key: bytes | None = None, **changes: Any) -> LedgerEntry:
    """Return an entry, with changes if any are given, and the hash and, with a key, the signature that it then has."""
    entry = entry.model_copy(update=changes)
    hash = fingerprint(model, entry)
    return entry.model_copy(update={"hash": hash, "signature": sign_hash(hash, key) if key else ""})


def sign_hash(hash: str, key: bytes) -> str:
    """Return what shows that whoever wrote an entry had the key: HMAC-SHA256 (RFC 2104) of its hash."""
    return hmac.new(key, hash.encode(), hashlib.sha256).hexdigest()


def fingerprint(model: str, entry: LedgerEntry) -> str:
    """Return the SHA-256 of everything that an entry says, its place and the hash of the entry before included.

    Fields without a value are left out, so that one that is added to the record later changes no hash.
    """
    fields = entry.model_dump(exclude={"hash", "signature"}, exclude_none=True)
    said = {**fields, "at": entry.at.isoformat(), "model": model}
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def first_violation(
    model: str, entries: Sequence[LedgerEntry], *, head: tuple[int, str] | None = None, key: bytes | None = None
) -> IntegrityViolation | None:
    """Return the first entry that cannot be trusted and why, or None where the chain is whole.

    Args:
        model: whose ledger it is.
        entries: all of them, oldest first.
        head: sequence number and hash of the last settled entry that the registry remembers.
        key: that each must be signed with; None asks for no signature.
    """
    last = ""
    for place, entry in enumerate(entries, start=1):
        if entry.sequence != place:
            return IntegrityViolation(sequence=place, why="it is missing")
        if entry.previous != last:
            return IntegrityViolation(
                sequence=place, why="it was not written after the entry that stands before it now"
            )
        if entry.hash != fingerprint(model, entry):
            return IntegrityViolation(
                sequence=place, why="it was changed after it was written: it does not have its hash"
            )
        if key and not hmac.compare_digest(entry.signature, sign_hash(entry.hash, key)):
            told = "its signature was made with another key" if entry.signature else "it is not signed"
            return IntegrityViolation(sequence=place, why=f"{told}; who answers for it may sign it: cl audit --sign")
        last = entry.hash
    if head is not None and not contains_entry(entries, head):
        sequence, _ = head
        gone = "it is missing" if sequence > len(entries) else "it was written anew with all that follows"
        return IntegrityViolation(
            sequence=min(sequence, len(entries) + 1), why=f"{gone}: the registry remembers another"
        )
    return None


def contains_entry(entries: Sequence[LedgerEntry], head: tuple[int, str]) -> bool:
    """Tell whether a settled entry that is remembered elsewhere is among the entries."""
    sequence, hash = head
    return 0 < sequence <= len(entries) and entries[sequence - 1].hash == hash
