"""`cl diff`: what sets two versions apart, from what the registry has stored of both."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from cl.commands._version_catalogue import VersionCatalogue, flatten, read_versions
from cl.stores.opened import open_project

KEY = ["experience", "id"]


def compare_versions(folder: Path, one: str, other: str) -> dict[str, Any]:
    """Return how a version differs from another: scores, configuration, data, labels, size, packages.

    Raises:
        InputError: there is no such version.
    """
    versions = read_versions(open_project(folder))
    for version in (one, other):
        versions.get(version)
    before, after = versions.history(one), versions.history(other)
    return {
        "from": one,
        "to": other,
        **_scores(versions, one, other),
        "config": _changes(flatten(before.config), flatten(after.config)),
        "data": _data(versions, before.learnt, after.learnt) | {"version": [before.data_version, after.data_version]},
        "labels": _sets(versions.labels(one), versions.labels(other)),
        "size_mb": [scored and scored.size_mb for scored in map(versions.evaluation, (one, other))],
        "packages": _changes(dict(before.packages), dict(after.packages)),
        "git_commit": [before.git_commit, after.git_commit],
    }


def _scores(versions: VersionCatalogue, one: str, other: str) -> dict[str, Any]:
    """Return mean row scores on the test rows that both were tested on; where rows are gone, what was recorded."""
    tables = [_rows(versions, version) for version in (one, other)]
    if tables[0] is None or tables[1] is None:
        recorded = [versions.evaluation(version) for version in (one, other)]
        scores = [{score.experience: score for score in found.challenger} if found else {} for found in recorded]
        told = [
            {"name": name, "rows": score.rows, "from": score.value, "to": scores[1][name].value}
            for name, score in scores[0].items()
            if name in scores[1]
        ]
        why = "stored rows of one version are gone: each score is over the rows of its own evaluation"
        return {
            "score": recorded[0].metric if recorded[0] else "score",
            "experiences": told,
            "classes": [],
            "note": why,
        }
    both = tables[0].merge(tables[1], on=KEY, suffixes=("", "_after"))
    classed = both.assign(name=both["target"].map(_classes)).explode("name")
    every = both.assign(name="all")
    return {
        "score": "row score",
        "experiences": [*_means(every), *_means(both.assign(name=both["experience"]))],
        "classes": _means(classed),
        "note": None if len(both) else "no row was tested by both",
    }


def _rows(versions: VersionCatalogue, version: str) -> pd.DataFrame | None:
    """Return experience, id, target and row score of a version's test rows; None where they are not stored."""
    with tempfile.TemporaryDirectory() as scratch:
        cycle = versions.infos[version].tags.get("cl.cycle_id", "")
        path = versions.at.stores.registry.evaluated(cycle, Path(scratch))
        if path is None:
            return None
        return pd.read_parquet(path).rename(columns={"challenger_score": "score"})[[*KEY, "target", "score"]]


def _means(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for each name its rows, both mean scores, and how many rows were lost and won."""
    rows = rows.assign(lost=rows["score_after"] < rows["score"], won=rows["score_after"] > rows["score"])
    return [
        {
            "name": str(name),
            "rows": len(part),
            "from": float(part["score"].mean()),
            "to": float(part["score_after"].mean()),
            "lost": int(part["lost"].sum()),
            "won": int(part["won"].sum()),
        }
        for name, part in rows.groupby("name", sort=True)
    ]


def _classes(target: str) -> list[str]:
    """Return the classes of a stored target: its label, or the entity types of its tags."""
    tags = target.split()
    if tags and all(tag == "O" or tag.startswith(("B-", "I-")) for tag in tags):
        return sorted({tag[2:] for tag in tags if tag != "O"}) or ["O"]
    return [target]


def _data(versions: VersionCatalogue, before: list[str], after: list[str]) -> dict[str, Any]:
    rows = {cycle.experience.id: cycle.experience.total for cycle in versions.cycles}
    added, removed = ([one for one in new if one not in old] for new, old in ((after, before), (before, after)))
    return {
        "added": added,
        "removed": removed,
        "rows_added": sum(rows.get(one, 0) for one in added),
        "rows_removed": sum(rows.get(one, 0) for one in removed),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    keys = sorted({*before, *after})
    return {key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)}


def _sets(before: set[str], after: set[str]) -> dict[str, list[str]]:
    return {"added": sorted(after - before), "removed": sorted(before - after)}
