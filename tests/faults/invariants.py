"""What must hold whatever has happened: read from the stores by a process of its own, then compared."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.prepared import Rows

WEIGHTS = ("head.safetensors", "encoder/", "tokenizer/", "strategies/")
SHOWN = 300


@dataclass(frozen=True)
class State:
    """Everything about a project that a fault must not change."""

    good: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    drafts: list[str] = field(default_factory=list)
    versioned: bool = False
    versions: dict[str, list[str]] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)
    champions: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    open_moves: int = 0
    cycles: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    journals: int = 0


def state_of(folder: Path) -> State:
    """Return the state of a project; whatever is damaged is named, not raised."""
    from cl import config as configuration
    from cl.errors import PerennialError
    from cl.stores.project_folder import ProjectFolder
    from cl.stores.stores import open_stores

    project = ProjectFolder(folder)
    stores = open_stores(project, configuration.load(project.config))
    experiences = stores.experiences.all()
    registry, ledger = stores.registry, stores.ledger
    moves = ledger.entries(registry.model)
    made = [one for one in moves if one.state == "committed"]
    damaged: list[str] = []
    weights: dict[str, str] = {}
    versions, cycles = registry.versions(), registry.runs.cycles()
    for one in (one for one in versions if one.withdrawn is None):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                weights[one.version] = _weights(registry.download(one.version, Path(scratch) / "version"))
            except PerennialError as error:
                damaged.append(f"version {one.version}: {error}")
    return State(
        good=[id for one in experiences for id in stores.experiences.column(one.id, "id")["id"]],
        quarantined=[id for one in experiences for id in stores.experiences.quarantined(one.id)["id"]],
        drafts=sorted(str(one.relative_to(folder)) for one in project.data.rglob(".draft-*")),
        versioned=stores.data.is_clean() and cycles[-1].data_version == stores.data.current(),
        versions={one.version: one.aliases for one in versions},
        passed=[one.version for one in versions if one.tags.get("cl.gates") == "passed"],
        champions=[one.to_version for one in made],
        gaps=[
            f"move {b.sequence} is from {b.from_version}" for a, b in pairwise(made) if b.from_version != a.to_version
        ],
        open_moves=sum(one.state == "intent" for one in moves),
        cycles=[_cycle(one) for one in cycles],
        weights=weights,
        damaged=damaged,
        journals=len(list((project.work / "cycles").glob("*"))),
    )


def broken(state: State, rows: Rows) -> list[str]:
    """Return which invariants a state breaks that must hold at any moment, a fault just over; [] is well."""
    found = [*state.damaged, *state.gaps]
    found += [f"row {id} is there {n} times" for id, n in Counter(state.good).items() if n > 1]
    found += [f"row {id} was never sent" for id in set(state.good) - set(rows.good)]
    serving = [version for version, aliases in state.versions.items() if "champion" in aliases]
    if len(serving) != 1:
        found.append(f"{len(serving)} champions by alias: {serving}")
    found += [f"champion {one} has not passed its gates" for one in {*state.champions, *serving} - {*state.passed}]
    return found


def unlike(state: State, undisturbed: State, rows: Rows) -> list[str]:
    """Return in what a project that was put right differs from one that nothing happened to; [] is well."""
    found = broken(state, rows)
    for what, there, sent in (("rows", state.good, rows.good), ("broken rows", state.quarantined, rows.broken)):
        if Counter(there) != Counter(sent):
            found.append(f"{what}: {len(there)} are there, {len(sent)} were sent")
    for name in vars(undisturbed):
        if (now := getattr(state, name)) != (then := getattr(undisturbed, name)):
            found.append(f"{name}: {str(now)[-SHOWN:]} instead of {str(then)[-SHOWN:]}")
    return found


def _weights(folder: Path) -> str:
    """Return one digest of all that was learnt; what was measured in seconds lies in other files."""
    import hashlib

    from cl.stores.files import sha256

    names = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
    learnt = [name for name in names if name.startswith(WEIGHTS)]
    return hashlib.sha256("".join(f"{name} {sha256(folder / name)}\n" for name in learnt).encode()).hexdigest()


def _cycle(cycle: Any) -> dict[str, Any]:
    """Return what a cycle came to, without what holds the time of the ingest: its id, its data version."""
    return {
        "experience": cycle.experience.id,
        "digest": cycle.experience.digest,
        "verdict": cycle.verdict,
        "check": cycle.drift.check,
        "losses": cycle.training.losses if cycle.training else None,
        "scores": cycle.evaluation.row if cycle.evaluation else None,
        "champions": [cycle.champion_before, cycle.champion_after],
    }
