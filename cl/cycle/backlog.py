"""What waits: experiences that no cycle has looked at, and those that were looked at and not learnt."""

from __future__ import annotations

from cl.errors import InputError
from cl.records import Experience
from cl.records.history import History
from cl.stores.ledger.state import was_decided
from cl.stores.stores import Stores

OPEN = ("none", "waiting", "canary", "shadow")
"""Verdicts that leave an experience to be learnt by a later cycle."""


def due_experiences(stores: Stores, *, again: str | None = None) -> list[Experience]:
    """Return the experiences that no cycle has looked at, oldest first.

    Raises:
        InputError: ``again`` names no experience.
    """
    everything = {one.id: one for one in stores.experiences.all()}
    if again is not None:
        if again not in everything:
            raise InputError(f"no experience '{again}'; there are: {', '.join(everything) or 'none'}")
        return [everything[again]]
    done = {cycle.experience.id for cycle in stores.registry.cycles()}
    return [one for name, one in everything.items() if name not in done]


def waiting_experiences(stores: Stores, history: History) -> list[str]:
    """Return the experiences that the champion has not learnt, though nothing speaks against them.

    They were found unchanged; or the version that learnt them waits for a person's word, or stands beside the champion:
    whoever comes after it learns them along. One that was rejected, or approved and then rolled back, is not.
    """
    last = {cycle.experience.id: cycle for cycle in stores.registry.cycles()}
    over = was_decided(stores.ledger.entries(stores.registry.model))
    left = [cycle for _, cycle in sorted(last.items()) if cycle.verdict in OPEN]
    settled = [one.experience.id for one in left if one.promotion and one.promotion.version in over]
    return [one.experience.id for one in left if one.experience.id not in {*history.learnt, *settled}]
