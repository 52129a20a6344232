"""Where an update begins on the ladder: at the rung that its drift asks for, or above what was too little lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cl.config import Config
from cl.records import DriftType, LadderResult


@dataclass(frozen=True)
class StartingRung:
    """The rung at which an update begins, and a reason for each rung that is passed over."""

    rung: str
    reasons: list[str]


def starting_rung(
    config: Config, wanted: str, types: Sequence[DriftType], climbs: Sequence[LadderResult]
) -> StartingRung:
    """Return where an update begins: at the rung wanted, or at the next that has not been too little lately.

    The last ``climb.memory`` climbs for a type of drift like these count, of those that some rung ended: where none
    was enough, the data may be to blame. A rung is passed over while it was refused in more of them than it passed.
    What lies further back is forgotten, so that a rung which was passed over in all of them is tried once more: that is
    the way down again. The highest rung is never passed over.

    Args:
        config: the ladder and ``climb.memory``.
        wanted: the lowest rung that may be begun with.
        types: the kinds of change that the update answers.
        climbs: of the updates so far, oldest first.
    """
    names = [rung.name for rung in config.ladder]
    like = [one for one in climbs if one.passed and (set(one.types) & set(types) or not (one.types or types))]
    lately = like[-config.climb.memory :] if config.climb.memory else []
    refused = Counter(one.rung for climb in lately for one in climb.begun if not one.passed)
    passed = Counter(one.rung for climb in lately for one in climb.begun if one.passed)
    place, reasons = names.index(wanted), []
    while place < len(names) - 1 and refused[names[place]] > passed[names[place]]:
        name = names[place]
        reasons.append(
            f"rung '{name}' is passed over: refused {refused[name]} of {refused[name] + passed[name]} times in the "
            f"last {len(lately)} updates like this one"
        )
        place += 1
    return StartingRung(names[place], reasons)
