"""`cl diff`: compare two versions by what the registry stores of both."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from cl.commands._version_catalogue import VersionCatalogue, flatten, read_versions
from cl.stores.opened import open_project

KEY = ["experience", "id"]


def compare_versions(folder: Path, first: str, second: str) -> dict[str, Any]:
    """Return how two versions differ: scores, configuration, data, labels, size, packages.

    Raises:
        InputError: there is no such version.
    """
    versions = read_versions(open_project(folder))
    for version in (first, second):
        versions.get(version)
    before, after = versions.history(first), versions.history(second)
    return {
        "from": first,
        "to": second,
        **_compare_scores(versions, first, second),
        "config": _changed_keys(flatten(before.config), flatten(after.config)),
        "data": _compare_data(versions, before.learnt, after.learnt)
        | {"version": [before.data_version, after.data_version]},
        "labels": _compare_sets(versions.labels(first), versions.labels(second)),
        "size_mb": [scored and scored.size_mb for scored in map(versions.evaluation, (first, second))],
        "packages": _changed_keys(dict(before.packages), dict(after.packages)),
        "git_commit": [before.git_commit, after.git_commit],
    }


def _compare_scores(versions: VersionCatalogue, first: str, second: str) -> dict[str, Any]:
    """Return mean row scores on the common test rows; if stored rows are gone, the recorded scores."""
    tables = [_read_rows(versions, version) for version in (first, second)]
    if tables[0] is None or tables[1] is None:
        recorded = [versions.evaluation(version) for version in (first, second)]
        scores = [
            {score.experience: score for score in evaluation.challenger} if evaluation else {}
            for evaluation in recorded
        ]
        shared = [
            {"name": name, "rows": score.rows, "from": score.value, "to": scores[1][name].value}
            for name, score in scores[0].items()
            if name in scores[1] and score.rows
        ]
        why = "the stored rows of a version are gone: each score is over the rows of its own evaluation"
        return {
            "score": recorded[0].metric if recorded[0] else "score",
            "experiences": shared,
            "classes": [],
            "left_out": [],
            "note": why,
        }
    both = tables[0].merge(tables[1], on=KEY, suffixes=("", "_after"))
    classed = both.assign(name=both["target"].map(_classes_of)).explode("name")
    every = both.assign(name="all")
    return {
        "score": "row score",
        "experiences": [*_mean_scores(every), *_mean_scores(both.assign(name=both["experience"]))],
        "classes": _mean_scores(classed),
        "left_out": [
            *_rows_of_one_version(tables[0], tables[1], first),
            *_rows_of_one_version(tables[1], tables[0], second),
        ],
        "note": None if len(both) else "the versions have no test rows in common",
    }


def _rows_of_one_version(rows: pd.DataFrame, others: pd.DataFrame, version: str) -> list[dict[str, Any]]:
    """Return the experiences of test rows that only this version answered, with the number of them."""
    alone = rows.merge(others[KEY], on=KEY, how="left", indicator=True)
    counts = alone[alone["_merge"] == "left_only"].groupby("experience", sort=True).size()
    return [
        {"version": version, "experience": str(experience), "rows": int(count)} for experience, count in counts.items()
    ]


def _read_rows(versions: VersionCatalogue, version: str) -> pd.DataFrame | None:
    """Return experience, id, target and row score of a version's test rows; None: they are not stored."""
    with tempfile.TemporaryDirectory() as scratch:
        cycle = versions.infos[version].tags.get("cl.cycle_id", "")
        path = versions.project.stores.registry.runs.evaluated(cycle, Path(scratch))
        if path is None:
            return None
        return pd.read_parquet(path).rename(columns={"challenger_score": "score"})[[*KEY, "target", "score"]]


def _mean_scores(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for each name the number of rows, both mean scores, and the rows lost and won."""
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


def _classes_of(target: str) -> list[str]:
    """Return the classes in a stored target: its label, or the entity types of its tags."""
    tags = target.split()
    if tags and all(tag == "O" or tag.startswith(("B-", "I-")) for tag in tags):
        return sorted({tag[2:] for tag in tags if tag != "O"}) or ["O"]
    return [target]


def _compare_data(versions: VersionCatalogue, before: list[str], after: list[str]) -> dict[str, Any]:
    rows = {cycle.experience.id: cycle.experience.total for cycle in versions.cycles}
    added, removed = (
        [experience for experience in new if experience not in old] for new, old in ((after, before), (before, after))
    )
    return {
        "added": added,
        "removed": removed,
        "rows_added": sum(rows.get(experience, 0) for experience in added),
        "rows_removed": sum(rows.get(experience, 0) for experience in removed),
    }


def _changed_keys(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    keys = sorted({*before, *after})
    return {key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)}


def _compare_sets(before: set[str], after: set[str]) -> dict[str, list[str]]:
    return {"added": sorted(after - before), "removed": sorted(before - after)}
