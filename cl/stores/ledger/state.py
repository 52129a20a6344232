"""What the ledger's entries come to: who serves, who stands beside, what waits for a person, and at any time before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cl.records import Alias, LedgerEntry

MOVES = {"promote", "override", "approve", "rollback", "adopt", "withdraw"}
"""The actions that move an alias, once committed; all others only tell."""
TRIAL_ALIASES: tuple[Alias, ...] = ("canary", "shadow")
ALIASES: tuple[Alias, ...] = ("champion", *TRIAL_ALIASES)


def moves(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the entries that moved an alias."""
    return [one for one in entries if one.state == "committed" and one.action in MOVES]


def holders(entries: Sequence[LedgerEntry]) -> dict[Alias, LedgerEntry]:
    """Return for each alias that is on a version the move that put it there.

    A version is one thing at a time: a canary that becomes the champion is no canary any more.
    """
    held: dict[Alias, LedgerEntry] = {}
    for move in moves(entries):
        held = {alias: one for alias, one in held.items() if alias == "champion" or one.to_version != move.to_version}
        if move.to_version is None:
            held.pop(move.alias, None)
        else:
            held[move.alias] = move
    return held


def holder(entries: Sequence[LedgerEntry], alias: Alias) -> str | None:
    """Return the version that an alias is on."""
    move = holders(entries).get(alias)
    return move.to_version if move else None


def champion(entries: Sequence[LedgerEntry]) -> str | None:
    """Return the version that serves."""
    return holder(entries, "champion")


def entries_until(entries: Sequence[LedgerEntry], moment: datetime) -> list[LedgerEntry]:
    """Return the entries that there were at a moment."""
    return [one for one in entries if one.at <= moment]


def previous_champion(entries: Sequence[LedgerEntry]) -> str | None:
    """Return the champion before the present one; after a rollback, the one before that."""
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
    """Return the entry of the version that waits for a person: the newest that asked, unless the champion has moved."""
    asked = None
    for one in entries:
        if one.state != "committed":
            continue
        if one.action == "wait":
            asked = one
        elif asked and _answers(one, asked):
            asked = None
    return asked


def was_decided(entries: Sequence[LedgerEntry]) -> set[str | None]:
    """Return the versions about which nothing is open any more.

    A person said no to them: rejected, or withdrawn from canary or shadow. Or they have served: what such a version
    learnt and its successors do not know was undone by going back.
    """
    said_no = {one.to_version for one in entries if one.action == "reject"}
    withdrawn = {one.from_version for one in moves(entries) if one.action == "withdraw"}
    return said_no | withdrawn | {one.to_version for one in moves(entries) if one.alias == "champion"}


def has_become(entries: Sequence[LedgerEntry], version: str, alias: Alias) -> bool:
    """Tell whether a version has ever had an alias."""
    return any(one.to_version == version and one.alias == alias for one in moves(entries))


def was_overridden(entries: Sequence[LedgerEntry]) -> set[str | None]:
    """Return the versions that a person has made champion despite their gates."""
    return {one.to_version for one in moves(entries) if (one.action, one.alias) == ("override", "champion")}


def approval_outcome(entries: Sequence[LedgerEntry], version: str) -> str | None:
    """Return what became of a version that waited once and does not any more; None where it never did."""
    places = [at for at, one in enumerate(entries) if one.action == "wait" and one.to_version == version]
    if not places:
        return None
    asked = entries[places[-1]]
    for one in entries[places[-1] + 1 :]:
        if one.state == "committed" and (one.action == "wait" or _answers(one, asked)):
            return _told(one, asked)
    return "it waits"


def _answers(one: LedgerEntry, asked: LedgerEntry) -> bool:
    moved = one.action in MOVES and one.alias == "champion"
    return moved or (one.action in ("approve", "reject") and one.to_version == asked.to_version)


def _told(one: LedgerEntry, asked: LedgerEntry) -> str:
    by = f"{one.actor} at {one.at:%Y-%m-%d %H:%M} UTC (entry {one.sequence})"
    if one.action == "wait":
        return f"version {one.to_version} waits in its place (entry {one.sequence})"
    if one.to_version == asked.to_version:
        return f"decided by {by}: {one.action}"
    return (
        f"it was compared with champion {asked.from_version or 'none'}, and version {one.to_version} serves since: "
        f"{one.action} by {by}"
    )
