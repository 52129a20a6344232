"""Put what champion and challenger have written side by side."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cl.records.answers import AnswerExample, AnswerLengths, Chosen, SideBySide
from cl.redaction import without_password
from cl.stores.opened import OpenProject
from cl.tasks import split_words

if TYPE_CHECKING:
    import pyarrow as pa

EACH = 4
"""Examples that gained most, that lost most, and that are drawn."""
LONGEST = 400
"""Characters of a prompt or an answer that are shown."""
WRITTEN = "challenger_cut"
"""A column that only rows have whose answers were written."""


def side_by_side(project: OpenProject, rows: pa.Table) -> SideBySide | None:
    """Return examples of an evaluation's written answers and the lengths of all; None: nothing was written.

    Prompts are not stored with a version: they are read from this machine's data, as far as it still has them. Secrets
    are cut out of all texts, and long ones are cut.
    """
    if WRITTEN not in rows.column_names:
        return None
    wanted = ("experience", "id", "target", "champion", "challenger", "champion_score", "challenger_score")
    written = rows.select([name for name in wanted if name in rows.column_names]).to_pylist()
    chosen = _choose(written)
    prompts = _prompts(project, [row for _, row in chosen])
    return SideBySide(
        rows=len(written),
        examples=[_example(why, row, prompts) for why, row in chosen],
        lengths=[
            _lengths(side, [row[column] for row in written if row.get(column) is not None])
            for side, column in (("true answers", "target"), ("champion", "champion"), ("challenger", "challenger"))
            if any(row.get(column) is not None for row in written)
        ],
    )


def _choose(written: list[dict[str, Any]]) -> list[tuple[Chosen, dict[str, Any]]]:
    """Return the rows with the largest gains and losses, and some with the smallest hash of their id, none twice."""
    gains = [(gain, row) for row in written if (gain := _gain(row)) is not None]
    best = sorted((pair for pair in gains if pair[0] > 0), key=lambda pair: -pair[0])[:EACH]
    worst = sorted((pair for pair in gains if pair[0] < 0), key=lambda pair: pair[0])[:EACH]
    shown = {(row["experience"], row["id"]) for _, row in (*best, *worst)}
    rest = [row for row in written if (row["experience"], row["id"]) not in shown]
    drawn = sorted(rest, key=lambda row: hashlib.sha256(str(row["id"]).encode()).digest())[:EACH]
    return [
        *(("gained most", row) for _, row in best),
        *(("lost most", row) for _, row in worst),
        *(("drawn", row) for row in drawn),
    ]


def _gain(row: dict[str, Any]) -> float | None:
    before = row.get("champion_score")
    return None if before is None or math.isnan(before) else row["challenger_score"] - before


def _prompts(project: OpenProject, rows: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    prompts: dict[tuple[str, str], str] = {}
    for experience in sorted({row["experience"] for row in rows}):
        ids = [row["id"] for row in rows if row["experience"] == experience]
        texts = project.stores.texts(project.config.task, experience, ids)
        prompts |= {(experience, id): text for id, text in texts.items()}
    return prompts


def _example(why: Chosen, row: dict[str, Any], prompts: dict[tuple[str, str], str]) -> AnswerExample:
    before = row.get("champion")
    return AnswerExample(
        chosen=why,
        experience=row["experience"],
        id=row["id"],
        prompt=_shown(prompts.get((row["experience"], row["id"]), "(no longer stored)")),
        target=_shown(row["target"]),
        champion=None if before is None else _shown(before),
        champion_score=None if _gain(row) is None else row["champion_score"],
        challenger=_shown(row["challenger"]),
        challenger_score=row["challenger_score"],
    )


def _shown(text: str) -> str:
    cleaned = without_password(text)
    return cleaned if len(cleaned) <= LONGEST else f"{cleaned[:LONGEST]}… ({len(cleaned):,} characters)"


def _lengths(side: str, answers: Iterable[str]) -> AnswerLengths:
    words = sorted(len(split_words(answer)) for answer in answers)
    return AnswerLengths(
        side=side,
        mean=sum(words) / len(words),
        median=(words[(len(words) - 1) // 2] + words[len(words) // 2]) / 2,
        most_of_90=words[math.ceil(0.9 * len(words)) - 1],
        longest=words[-1],
    )
