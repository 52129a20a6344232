"""Where a version comes from: its parents, back to the pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cl.records import Cycle, VersionInfo


def line_of(version: str | None, versions: Sequence[VersionInfo]) -> list[str]:
    """Return a version and its parents, youngest first; [] for None."""
    parents: Mapping[str, str | None] = {one.version: one.tags.get("cl.parent") for one in versions}
    line: list[str] = []
    while version and version not in line:
        line.append(version)
        version = parents.get(version)
    return line


def in_line(cycles: Sequence[Cycle], line: Sequence[str]) -> list[Cycle]:
    """Return the cycles without those whose version served once and is no parent of the one that serves now.

    After a rollback a decision rests on what belongs to the restored version: neither the alarms that the bad version
    answered, nor its training hours, nor its promotion count.
    """
    return [
        one for one in cycles if one.promotion is None or not one.promotion.promoted or one.promotion.version in line
    ]
