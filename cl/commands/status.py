"""`cl status` and `cl history`: what the registry, the ledger and the data say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.records import Cycle
from cl.stores.ledger import state
from cl.stores.opened import open_project
from cl.stores.predictions.predictions import Predictions


def read_cycles(folder: Path) -> list[Cycle]:
    """Return all finished cycles, oldest first."""
    at = open_project(folder)
    at.stores.registry.initialise()
    return at.stores.registry.cycles()


def read_status(folder: Path) -> dict[str, Any]:
    """Return champion, versions, last cycle and waiting experiences as plain values."""
    at = open_project(folder)
    at.stores.registry.initialise()
    cycles = at.stores.registry.cycles()
    done = {cycle.experience.id for cycle in cycles}
    last = cycles[-1] if cycles else None
    entries = at.stores.ledger.entries(at.config.name)
    aliases, asks = state.holders(entries), state.pending_approval(entries)
    return {
        "model": at.config.name,
        "champion": state.champion(entries),
        **{
            alias: aliases[alias].model_dump(mode="json") if alias in aliases else None for alias in state.TRIAL_ALIASES
        },
        "approval": asks and asks.model_dump(mode="json"),
        "versions": [one.model_dump(mode="json") for one in at.stores.registry.versions()],
        "last_cycle": last and {"experience": last.experience.id, "verdict": last.verdict, "seconds": last.seconds},
        "held": held_experiences(cycles),
        "waiting": [one.id for one in at.stores.experiences.all() if one.id not in done],
        "data_version": at.stores.data.current(),
        "predictions": Predictions(at.project).count(),
    }


def held_experiences(cycles: list[Cycle]) -> list[str]:
    """Return the experiences whose last cycle held them back: a person has to say `cl run --again`."""
    last = {cycle.experience.id: cycle.verdict for cycle in cycles}
    return [name for name, verdict in last.items() if verdict == "held"]
