"""`cl diff`: compare two versions by what the registry stores of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from cl.commands._regressions import read_stored_rows
from cl.commands._version_catalogue import VersionCatalogue, flatten, read_versions
from cl.stores.opened import open_project
from cl.tasks import BETWEEN_LABELS, NONE_APPLIES, OUTSIDE, ValueKind, names_in

Row = tuple[str, str, str, float, float]
"""Experience, id, target, and the row score of either version."""
Scored = dict[tuple[str, str], tuple[str, float]]
"""(experience, id) -> target and row score."""


def compare_versions(folder: Path, first: str, second: str) -> dict[str, Any]:
    """Return how two versions differ: scores, configuration, data, labels, size, packages.

    Raises:
        InputError: there is no such version.
    """
    project = open_project(folder, reading=True)
    versions = read_versions(project)
    for version in (first, second):
        versions.get(version)
    before, after = versions.history(first), versions.history(second)
    return {
        "from": first,
        "to": second,
        **_compare_scores(versions, project.schema.answer.kind, first, second),
        "config": _changed_keys(flatten(before.config), flatten(after.config)),
        "data": _compare_data(versions, before.learnt, after.learnt)
        | {"version": [before.data_version, after.data_version]},
        "labels": _compare_sets(versions.labels(first), versions.labels(second)),
        "size_mb": [scored and scored.size_mb for scored in map(versions.evaluation, (first, second))],
        "packages": _changed_keys(dict(before.packages), dict(after.packages)),
        "git_commit": [before.git_commit, after.git_commit],
    }


def _compare_scores(versions: VersionCatalogue, kind: ValueKind, first: str, second: str) -> dict[str, Any]:
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
    both = [(*key, target, score, tables[1][key][1]) for key, (target, score) in tables[0].items() if key in tables[1]]
    return {
        "score": "row score",
        "experiences": [*_mean_scores(both, lambda row: ["all"]), *_mean_scores(both, lambda row: [row[0]])],
        "classes": _mean_scores(both, lambda row: _classes_of(kind, row[2])),
        "left_out": [
            *_rows_of_one_version(tables[0], tables[1], first),
            *_rows_of_one_version(tables[1], tables[0], second),
        ],
        "note": None if both else "the versions have no test rows in common",
    }


def _rows_of_one_version(rows: Scored, others: Scored, version: str) -> list[dict[str, Any]]:
    """Return the experiences of test rows that only this version answered, with the number of them."""
    counts = Counter(experience for experience, _ in rows.keys() - others.keys())
    return [
        {"version": version, "experience": experience, "rows": count} for experience, count in sorted(counts.items())
    ]


def _read_rows(versions: VersionCatalogue, version: str) -> Scored | None:
    """Return the target and row score of each of a version's test rows; None: they are not stored."""
    rows = read_stored_rows(versions.project, versions.infos[version].tags.get("cl.cycle_id", ""))
    if rows is None:
        return None
    columns = (rows[name].to_pylist() for name in ("experience", "id", "target", "challenger_score"))
    return {(experience, id): (target, score) for experience, id, target, score in zip(*columns, strict=True)}


def _mean_scores(rows: Sequence[Row], names_of: Callable[[Row], Sequence[str]]) -> list[dict[str, Any]]:
    """Return for each name the number of rows, both mean scores, and the rows lost and won."""
    named: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name in names_of(row):
            named.setdefault(name, []).append(row[3:])
    return [
        {
            "name": name,
            "rows": len(pairs),
            "from": fmean(before for before, _ in pairs),
            "to": fmean(after for _, after in pairs),
            "lost": sum(after < before for before, after in pairs),
            "won": sum(after > before for before, after in pairs),
        }
        for name, pairs in sorted(named.items())
    ]


def _classes_of(kind: ValueKind, target: str) -> list[str]:
    """Return the classes in a stored target: its label, its labels, or the entity types of its tags."""
    if kind is ValueKind.TAGS:
        return names_in(kind, target.split()) or [OUTSIDE]
    if kind is ValueKind.LABELS:
        return target.split(BETWEEN_LABELS) if target else [NONE_APPLIES]
    return [target] if kind is ValueKind.LABEL else []


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
