"""What waits: experiences that no cycle has looked at, and those that were looked at and not learnt."""

from __future__ import annotations

from cl.errors import InputError
from cl.records import Experience
from cl.standing import rejected
from cl.stores.connect import Stores
from cl.training.version import History

OPEN = ("none", "waiting", "canary", "shadow")
"""Verdicts that leave an experience to be learnt by a later cycle."""


def due(stores: Stores, *, again: str | None = None) -> list[Experience]:
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


def waiting_since(stores: Stores, history: History) -> list[str]:
    """Return the experiences that the champion has not learnt, though nothing speaks against them.

    They were found unchanged; or the version that learnt them waits for a person's word, or stands beside the champion:
    whoever comes after it learns them along, so that they are not lost when it is passed over.
    """
    last = {cycle.experience.id: cycle for cycle in stores.registry.cycles()}
    left = [
        (name, cycle.promotion)
        for name, cycle in sorted(last.items())
        if cycle.verdict in OPEN and name not in history.learnt
    ]
    if not any(promotion for _, promotion in left):
        return [name for name, _ in left]
    said_no = rejected(stores.ledger.entries(stores.registry.model))
    return [name for name, promotion in left if promotion is None or promotion.version not in said_no]
