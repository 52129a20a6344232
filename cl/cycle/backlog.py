"""The backlog: experiences without a cycle, and experiences whose cycle did not learn them."""

from __future__ import annotations

from cl.errors import InputError
from cl.records import Experience
from cl.records.history import History
from cl.stores.ledger.state import decided_versions
from cl.stores.stores import Stores

OPEN = ("none", "waiting", "canary", "shadow")
"""Verdicts that leave an experience to be learned by a later cycle."""


def due_experiences(stores: Stores, *, again: str | None = None) -> list[Experience]:
    """Return the experiences without a finished cycle, oldest first.

    Raises:
        InputError: ``again`` names no experience.
    """
    experiences = {experience.id: experience for experience in stores.experiences.all()}
    if again is not None:
        if again not in experiences:
            raise InputError(f"no experience '{again}'; there are: {', '.join(experiences) or 'none'}")
        return [experiences[again]]
    done = stores.registry.runs.past.experiences()
    return [experience for name, experience in experiences.items() if name not in done]


def waiting_experiences(stores: Stores, history: History) -> list[str]:
    """Return the experiences that the champion has not learned and that the next update should include.

    Either they showed no drift, or the version that learned them waits for approval or is a canary or shadow. An
    experience whose version was rejected, or approved and then rolled back, is left out.
    """
    left = stores.registry.runs.past.left_open(OPEN)
    over = decided_versions(stores.ledger.entries(stores.registry.model)) if left else set()
    learnt = set(history.learnt)
    return [cycle.experience for cycle in left if cycle.experience not in learnt and cycle.version not in over]
