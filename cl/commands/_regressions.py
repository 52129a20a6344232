"""The test rows that a challenger answers worse than the champion."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.records import Regression
from cl.stores.opened import OpenProject

if TYPE_CHECKING:
    import pyarrow as pa

WORST = 20


def read_stored_rows(project: OpenProject, cycle: str) -> pa.Table | None:
    """Return the evaluated rows of a cycle or compressed version, by its id; None: they are no longer stored."""
    with tempfile.TemporaryDirectory() as scratch:
        path = project.stores.registry.runs.evaluated(cycle, Path(scratch))
        if path is None:
            return None
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:  # `read_table` would import pandas
            return file.read()


def worst_regressions(project: OpenProject, rows: pa.Table) -> list[Regression]:
    """Return the rows whose score dropped most from champion to challenger; of equal drops, the most confident first.

    Texts are not stored with a version: they are read from this machine's data, as far as it still has them.
    """
    if "champion_score" not in rows.column_names:
        return []
    lost = [row for row in rows.to_pylist() if _drop(row) > 0]
    worst = sorted(lost, key=lambda row: (-_drop(row), -_number(row.get("confidence"))))[:WORST]
    texts: dict[tuple[str, str], str] = {}
    for experience in sorted({row["experience"] for row in worst}):
        ids = [row["id"] for row in worst if row["experience"] == experience]
        texts_by_id = project.stores.texts(project.config.task, experience, ids)
        texts |= {(experience, id): text for id, text in texts_by_id.items()}
    return [
        Regression(
            **{key: row[key] for key in ("experience", "id", "target", "champion", "challenger")},
            champion_confidence=_float_or_none(row.get("champion_confidence")),
            challenger_confidence=_float_or_none(row.get("confidence")),
            text=texts.get((row["experience"], row["id"]), "(no longer stored)"),
        )
        for row in worst
    ]


def _drop(row: dict[str, Any]) -> float:
    return _number(row["champion_score"]) - _number(row["challenger_score"])


def _number(value: float | None) -> float:
    return _float_or_none(value) or 0.0


def _float_or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
