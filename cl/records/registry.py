"""Versions of the model, and every move of the champion."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from cl.records.record import Record

Alias = Literal["champion", "canary", "shadow"]
"""What a version can be: the one that serves, one that serves a share, one that answers unheard."""

Action = Literal[
    "promote",  # it passed its gates
    "override",  # a person moved it despite its gates
    "approve",  # a person let through what had passed
    "rollback",
    "adopt",  # found in a registry that is older than the ledger
    "withdraw",  # from canary or shadow
    "wait",  # for a person's word
    "reject",  # a person's word
    "alias_moved",  # found on another version than the ledger says
]
WITHDRAWN = "cl.withdrawn"
"""Tag of a version whose files were removed, or that holds rows which had to be forgotten."""


class Registration(Record):
    """The registry version that a challenger became."""

    version: str
    passed: bool


class Promotion(Record):
    """Which registry version came of a cycle, and whether it serves now."""

    version: str
    promoted: bool
    waiting: bool = Field(default=False, description="It passed, and a person decides: cl approve, cl reject")
    beside: Literal["canary", "shadow"] | None = Field(default=None, description="It passed, and is this for now")
    share: float | None = Field(default=None, description="Of the requests, 0 to 1, as a canary or shadow")
    champion_before: str | None = None
    champion_after: str | None = None


class VersionInfo(Record):
    """One registered version."""

    version: str
    created: datetime
    run_id: str
    tags: dict[str, str]
    aliases: list[str]

    @property
    def withdrawn(self) -> str | None:
        """Why it can never serve again, though it may have passed its gates; None: it can."""
        return self.tags.get(WITHDRAWN)


class LedgerEntry(Record):
    """One entry of the ledger: who, when, from, to, why, on which verdict, and the hash of the entry before."""

    sequence: int
    at: datetime
    actor: str
    action: Action
    alias: Alias = "champion"
    share: float | None = Field(default=None, description="Of the requests, 0 to 1: of a canary or a shadow")
    from_version: str | None
    to_version: str | None = Field(description="None: the alias is on no version")
    why: str
    verdict_digest: str | None = Field(default=None, description="SHA-256 of the version's gates.json")
    state: Literal["intent", "committed", "abandoned"]
    previous: str = Field(default="", description="Hash of the entry before; empty in the first")
    hash: str = Field(default="", description="SHA-256 of all else; sealed anew when an intent is settled")
    signature: str = Field(default="", description="HMAC-SHA256 of the hash, where `stores.ledger_key` names a key")


class Breach(Record):
    """The first entry of a ledger that cannot be trusted."""

    sequence: int
    why: str


class Unlearning(Record):
    """What became of the model when rows were forgotten."""

    version: str | None = Field(default=None, description="The new champion; None: it had learnt none of the rows")
    exact: bool = Field(default=True, description="Whether no weight of the champion has learnt from the rows")
    withdrawn: list[str] = Field(default_factory=list, description="Versions that hold the rows and cannot serve again")
