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
    done = {cycle.experience.id for cycle in stores.registry.runs.cycles()}
    return [experience for name, experience in experiences.items() if name not in done]


def waiting_experiences(stores: Stores, history: History) -> list[str]:
    """Return the experiences that the champion has not learned and that the next update should include.

    Either they showed no drift, or the version that learned them waits for approval or is a canary or shadow. An
    experience whose version was rejected, or approved and then rolled back, is left out.
    """
    last = {cycle.experience.id: cycle for cycle in stores.registry.runs.cycles()}
    over = decided_versions(stores.ledger.entries(stores.registry.model))
    left = [cycle for _, cycle in sorted(last.items()) if cycle.verdict in OPEN]
    settled = [cycle.experience.id for cycle in left if cycle.promotion and cycle.promotion.version in over]
    return [cycle.experience.id for cycle in left if cycle.experience.id not in {*history.learnt, *settled}]
