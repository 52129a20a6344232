"""State derived from the ledger: champion, canary, shadow and pending approvals, now or at any past time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cl.records import Alias, LedgerEntry

MOVES = {"promote", "override", "approve", "rollback", "adopt", "withdraw", "repair"}
"""The actions that move an alias once committed; all others only record."""
TRIAL_ALIASES: tuple[Alias, ...] = ("canary", "shadow")
ALIASES: tuple[Alias, ...] = ("champion", *TRIAL_ALIASES)


def moves(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the entries that moved an alias."""
    return [entry for entry in entries if entry.state == "committed" and entry.action in MOVES]


def holders(entries: Sequence[LedgerEntry]) -> dict[Alias, LedgerEntry]:
    """Return alias -> the move that set it, for each alias that points to a version.

    A version has one role at a time: a canary that becomes the champion is no longer a canary.
    """
    held: dict[Alias, LedgerEntry] = {}
    for move in moves(entries):
        held = {
            alias: earlier
            for alias, earlier in held.items()
            if alias == "champion" or earlier.to_version != move.to_version
        }
        if move.to_version is None:
            held.pop(move.alias, None)
        else:
            held[move.alias] = move
    return held


def holder(entries: Sequence[LedgerEntry], alias: Alias) -> str | None:
    """Return the version that an alias points to."""
    move = holders(entries).get(alias)
    return move.to_version if move else None


def champion(entries: Sequence[LedgerEntry]) -> str | None:
    """Return the champion's version."""
    return holder(entries, "champion")


def entries_until(entries: Sequence[LedgerEntry], moment: datetime) -> list[LedgerEntry]:
    """Return the entries that existed at a time."""
    return [entry for entry in entries if entry.recorded_at <= moment]


def previous_champion(entries: Sequence[LedgerEntry]) -> str | None:
    """Return the champion before the current one; after a rollback, the one before the champion restored."""
    trail: list[str | None] = []
    for move in moves(entries):
        if move.alias != "champion":
            continue
        if move.action == "rollback" and move.to_version in trail:
            del trail[trail.index(move.to_version) + 1 :]
        else:
            trail.append(move.to_version)
    return trail[-2] if len(trail) > 1 else None


def pending_approval(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """Return the newest request for approval that is still open; a move of the champion closes it."""
    request = None
    for entry in entries:
        if entry.state != "committed":
            continue
        if entry.action == "wait":
            request = entry
        elif request and _closes(entry, request):
            request = None
    return request


def decided_versions(entries: Sequence[LedgerEntry]) -> set[str | None]:
    """Return the versions that need no decision any more.

    Either a person refused them (rejected, or withdrawn from canary or shadow), or they have been champion: what such a
    version learned and its successors lack was undone by a rollback.
    """
    rejected = {entry.to_version for entry in entries if entry.action == "reject"}
    withdrawn = {move.from_version for move in moves(entries) if move.action == "withdraw"}
    return rejected | withdrawn | {move.to_version for move in moves(entries) if move.alias == "champion"}


def ever_had_alias(entries: Sequence[LedgerEntry], version: str, alias: Alias) -> bool:
    """Return whether a version has ever had an alias."""
    return any(move.to_version == version and move.alias == alias for move in moves(entries))


def cited_manifest(entries: Sequence[LedgerEntry], version: str) -> str | None:
    """Return the digest of a version's manifest that the last move to it cites; None: no move cites one."""
    return next((move.manifest_digest for move in reversed(moves(entries)) if move.to_version == version), None)


def cited_verdict(entries: Sequence[LedgerEntry], version: str) -> str | None:
    """Return the digest of a version's verdict that the last move to it cites; None: no move cites one."""
    return next((move.verdict_digest for move in reversed(moves(entries)) if move.to_version == version), None)


def overridden_versions(entries: Sequence[LedgerEntry]) -> set[str | None]:
    """Return the versions that a person made champion despite failed gates."""
    return {move.to_version for move in moves(entries) if (move.action, move.alias) == ("override", "champion")}


def approval_outcome(entries: Sequence[LedgerEntry], version: str) -> str | None:
    """Return the outcome of a version's last request for approval; None if it never asked."""
    indexes = [i for i, entry in enumerate(entries) if entry.action == "wait" and entry.to_version == version]
    if not indexes:
        return None
    request = entries[indexes[-1]]
    for entry in entries[indexes[-1] + 1 :]:
        if entry.state == "committed" and (entry.action == "wait" or _closes(entry, request)):
            return _describe_outcome(entry, request)
    return "it waits"


def _closes(entry: LedgerEntry, request: LedgerEntry) -> bool:
    """Return whether an entry ends a request for approval."""
    moved = entry.action in MOVES and entry.alias == "champion"
    return moved or (entry.action in ("approve", "reject") and entry.to_version == request.to_version)


def _describe_outcome(entry: LedgerEntry, request: LedgerEntry) -> str:
    by = f"{entry.actor} at {entry.recorded_at:%Y-%m-%d %H:%M} UTC (entry {entry.sequence})"
    if entry.action == "wait":
        return f"version {entry.to_version} waits in its place (entry {entry.sequence})"
    if entry.to_version == request.to_version:
        return f"decided by {by}: {entry.action}"
    return (
        f"it was compared with champion {request.from_version or 'none'}, but version {entry.to_version} "
        f"has served since: {entry.action} by {by}"
    )
