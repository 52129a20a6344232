"""The hash chain of the promotion ledger: it reveals entries that were edited, removed or inserted.

Each entry contains the hash of the previous entry and is hashed as a whole. An intent is sealed again when it is
settled, which is safe because no entry may follow an open intent; the next entry is chained to the settled one. The
chain does not reveal that its newest entries were cut off, so the registry remembers the last entry. Nor does it reveal
a forged entry at its end, so entries can be signed with a key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from cl.records import IntegrityViolation, LedgerEntry


def seal_entry(model: str, entry: LedgerEntry, *, key: bytes | None = None, **changes: Any) -> LedgerEntry:
    """Return an entry with the given changes, its new hash and, with a key, its signature."""
    entry = entry.model_copy(update=changes)
    hash = fingerprint(model, entry)
    return entry.model_copy(update={"hash": hash, "signature": sign_hash(hash, key) if key else ""})


def sign_hash(hash: str, key: bytes) -> str:
    """Return the signature of an entry: HMAC-SHA256 (RFC 2104) of its hash under the key."""
    return hmac.new(key, hash.encode(), hashlib.sha256).hexdigest()


def fingerprint(model: str, entry: LedgerEntry) -> str:
    """Return the SHA-256 of an entry's content, including its sequence number and the hash of the previous entry.

    Fields without a value are left out, so that fields added to the record later do not change old hashes.
    """
    fields = entry.model_dump(exclude={"hash", "signature"}, exclude_none=True)
    content = {**fields, "recorded_at": entry.recorded_at.isoformat(), "model": model}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def first_violation(
    model: str,
    entries: Sequence[LedgerEntry],
    *,
    head: tuple[int, str] | None = None,
    key: bytes | None = None,
    trusted: int = 0,
) -> IntegrityViolation | None:
    """Return the first entry that cannot be trusted and why, or None if the chain is intact.

    Args:
        model: the model of the ledger.
        entries: all entries of the model, oldest first.
        head: sequence number and hash of the last settled entry that the registry remembers.
        key: the key of the signatures; None does not check them.
        trusted: how many of the first entries were verified before, and are unchanged since.
    """
    last = entries[trusted - 1].hash if trusted else ""
    for position, entry in enumerate(entries[trusted:], start=trusted + 1):
        if entry.sequence != position:
            return IntegrityViolation(sequence=position, why="it is missing")
        if entry.previous != last:
            return IntegrityViolation(sequence=position, why="it was not written after the entry that precedes it now")
        if entry.hash != fingerprint(model, entry):
            return IntegrityViolation(
                sequence=position, why="it was changed after it was written: its hash does not match"
            )
        if key and not hmac.compare_digest(entry.signature, sign_hash(entry.hash, key)):
            problem = "its signature was made with another key" if entry.signature else "it is not signed"
            return IntegrityViolation(sequence=position, why=problem, remedy="to vouch for it: cl audit --sign")
        last = entry.hash
    if head is not None and not contains_entry(entries, head):
        sequence, _ = head
        problem = "it is missing" if sequence > len(entries) else "it and all later entries were rewritten"
        return IntegrityViolation(
            sequence=min(sequence, len(entries) + 1), why=f"{problem}: the registry remembers another entry"
        )
    return None


def contains_entry(entries: Sequence[LedgerEntry], head: tuple[int, str]) -> bool:
    """Return whether the entries contain a settled entry, given as sequence number and hash."""
    sequence, hash = head
    return 0 < sequence <= len(entries) and entries[sequence - 1].hash == hash
