"""Choose the rung at which an update begins: the rung its drift requires, skipping rungs that failed recently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cl.config import Config
from cl.records import DriftType, LadderResult


@dataclass(frozen=True)
class StartingRung:
    """The rung at which an update begins, and a reason for each skipped rung."""

    rung: str
    reasons: list[str]


def starting_rung(
    config: Config, wanted: str, types: Sequence[DriftType], climbs: Sequence[LadderResult]
) -> StartingRung:
    """Return where an update begins: at the rung wanted, or at the next rung that has not failed recently.

    The last ``climb.memory`` climbs for similar drift count, if some rung passed: where none did, the data may be to
    blame. A rung is skipped while it was refused in more of these climbs than it passed. Older climbs are forgotten,
    so a rung that was skipped in all of these climbs is tried once more: this is how the start moves down again. The
    highest rung is never skipped.

    Args:
        config: the ladder and ``climb.memory``.
        wanted: the lowest rung to begin with.
        types: the types of change that the update answers.
        climbs: ladder results of the updates so far, oldest first.
    """
    names = [rung.name for rung in config.ladder]
    similar = [climb for climb in climbs if climb.passed and _is_similar(climb, types)]
    recent = similar[-config.climb.memory :] if config.climb.memory else []
    results = [result for climb in recent for result in climb.begun]
    refused = Counter(result.rung for result in results if not result.passed and result.outdone is None)
    passed = Counter(result.rung for result in results if result.passed)
    index, reasons = names.index(wanted), []
    while index < len(names) - 1 and refused[names[index]] > passed[names[index]]:
        name = names[index]
        reasons.append(
            f"rung '{name}' is skipped: refused {refused[name]} of {refused[name] + passed[name]} times in the "
            f"last {len(recent)} similar updates"
        )
        index += 1
    return StartingRung(names[index], reasons)


def _is_similar(climb: LadderResult, types: Sequence[DriftType]) -> bool:
    return bool(set(climb.types) & set(types)) or not (climb.types or types)
