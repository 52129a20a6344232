"""The test rows that a challenger answers worse than the champion."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from cl.records import Regression
from cl.stores.opened import OpenProject

WORST = 20


def read_stored_rows(project: OpenProject, cycle: str) -> pd.DataFrame | None:
    """Return the evaluated rows of a cycle or compressed version, by its id; None: they are no longer stored."""
    with tempfile.TemporaryDirectory() as scratch:
        path = project.stores.registry.runs.evaluated(cycle, Path(scratch))
        return None if path is None else pd.read_parquet(path)


def worst_regressions(project: OpenProject, rows: pd.DataFrame) -> list[Regression]:
    """Return the rows whose score dropped most from champion to challenger; of equal drops, the most confident first.

    Texts are not stored with a version: they are read from this machine's data, as far as it still has them.
    """
    if "champion_score" not in rows:
        return []
    drop = rows["champion_score"].fillna(0.0).astype(float) - rows["challenger_score"].fillna(0.0)
    sure = rows.get("confidence", 0.0)
    lost = rows.assign(drop=drop, sure=sure)[drop > 0]
    worst = lost.sort_values(["drop", "sure"], ascending=False, kind="stable").head(WORST)
    texts: dict[tuple[str, str], str] = {}
    for experience, part in worst.groupby("experience"):
        texts_by_id = project.stores.texts(project.config.task, str(experience), part["id"].tolist())
        texts |= {(str(experience), id): text for id, text in texts_by_id.items()}
    return [
        Regression(
            **{key: row[key] for key in ("experience", "id", "target", "champion", "challenger")},
            champion_confidence=_float_or_none(row.get("champion_confidence")),
            challenger_confidence=_float_or_none(row.get("confidence")),
            text=texts.get((row["experience"], row["id"]), "(no longer stored)"),
        )
        for row in worst.to_dict("records")
    ]


def _float_or_none(confidence: float | None) -> float | None:
    return None if confidence is None or pd.isna(confidence) else float(confidence)
