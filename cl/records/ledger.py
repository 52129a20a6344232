"""The ledger's entries: every move of an alias."""

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


class Move(Record):
    """A move of an alias as it is asked for, or what a person says about a version: what the ledger writes down."""

    action: Action
    to: str | None = Field(description="The version that gets the alias; None takes it away")
    expected: str | None = Field(description="The champion that it rests on; another one, and nothing moves")
    why: str
    actor: str = Field(description="Who moves it, as user@machine")
    alias: Alias = "champion"
    share: float | None = Field(default=None, description="Of the requests, 0 to 1: of a canary or a shadow")
    digest: str | None = Field(default=None, description="SHA-256 of the verdict that it rests on")


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


class IntegrityViolation(Record):
    """The first entry of a ledger that cannot be trusted."""

    sequence: int
    why: str
