"""The accuracy matrix R, put together from the cycles of a line of versions: each has stored one row."""

from __future__ import annotations

from collections.abc import Sequence

from cl.records import Cycle, VersionInfo
from cl.stores.mlflow.past_cycles import PastCycles
from cl.stores.mlflow.registry import PARENT
from cl.stores.mlflow.runs import CYCLE_ID

RELABELLED = "labels-"
"""How the cycle of a version begins whose labels were changed: scores under former labels are not comparable."""


def accuracy_matrix(
    last: Cycle, past: PastCycles, versions: Sequence[VersionInfo], *, most: int
) -> dict[str, dict[str, float]]:
    """Return the newest rows of R up to a cycle: experience learned -> experience tested -> score, oldest first.

    The rows before that of the cycle are those of its champion and of that one's ancestors.

    Args:
        last: a cycle, whose row is the last one.
        past: the finished cycles.
        versions: those of the registry.
        most: rows to return at most.
    """
    if last.evaluation is None:
        return {}
    rows, infos = [(last.evaluation.newest, last.evaluation.row)], {info.version: info for info in versions}
    version, seen = last.champion_before, set[str]()
    while version and version not in seen and len(rows) < most:
        seen.add(version)
        row, tags = past.row_of(version), infos[version].tags if version in infos else {}
        if row is not None:
            rows.append((row.newest, row.scores))
            version = row.champion
        else:  # no cycle ended with it: it was made without learning
            version = None if tags.get(CYCLE_ID, "").startswith(RELABELLED) else tags.get(PARENT)
    return dict(reversed(rows))
