"""The ledger's entries: every move of an alias."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from cl.records.record import Record

Alias = Literal["champion", "canary", "shadow"]
"""What a version can be: the one that serves, one that serves a share, one that gets copies of requests."""


Action = Literal[
    "promote",  # it passed its gates
    "override",  # a person promoted it despite its gates
    "approve",  # a person approved a version that had passed
    "rollback",
    "adopt",  # found in a registry that is older than the ledger
    "withdraw",  # from canary or shadow
    "wait",  # for manual approval
    "reject",  # a person rejected it
    "alias_moved",  # found on a different version than the ledger says
    "repair",  # a person vouched for the champion after the ledger had been damaged
]


class Move(Record):
    """A requested alias move, or a person's decision about a version, to be written to the ledger."""

    action: Action
    to: str | None = Field(description="The version that gets the alias; None: the alias is removed")
    expected: str | None = Field(description="The champion it was compared with; the move fails if another one serves")
    why: str
    actor: str = Field(description="Who moves it, as user@machine")
    alias: Alias = "champion"
    share: float | None = Field(default=None, description="Share of requests of a canary or shadow, 0 to 1")
    digest: str | None = Field(default=None, description="SHA-256 of the verdict that it is based on")
    manifest: str | None = Field(default=None, description="SHA-256 of the version's manifest")


class LedgerEntry(Record):
    """One ledger entry: who, when, from, to, why, on which verdict, and the hash of the previous entry."""

    sequence: int
    recorded_at: datetime
    actor: str
    action: Action
    alias: Alias = "champion"
    share: float | None = Field(default=None, description="Share of requests of a canary or shadow, 0 to 1")
    from_version: str | None
    to_version: str | None = Field(description="None: no version has the alias any more")
    why: str
    verdict_digest: str | None = Field(default=None, description="SHA-256 of the version's gates.json")
    manifest_digest: str | None = Field(default=None, description="SHA-256 of the version's manifest.json")
    state: Literal["intent", "committed", "abandoned"]
    previous: str = Field(default="", description="Hash of the previous entry; empty in the first")
    hash: str = Field(default="", description="SHA-256 of all other fields; recomputed when an intent is settled")
    signature: str = Field(default="", description="HMAC-SHA256 of the hash, if `stores.ledger_key` is set")


RESTORE_OR_VOUCH = "restore the ledger from a backup, or vouch for a version: cl audit --repair VERSION --why TEXT"


class IntegrityViolation(Record):
    """The first entry of a ledger that cannot be trusted."""

    sequence: int
    why: str = Field(description="What is wrong with it, without the remedy")
    remedy: str = RESTORE_OR_VOUCH

    @property
    def line(self) -> str:
        """What is wrong and what to do, in a line."""
        return f"entry {self.sequence} of the ledger is broken: {self.why}; {self.remedy}"
