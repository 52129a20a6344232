"""The HTML report: one self-contained file about everything that happened to a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from cl.records import Cycle, LedgerEntry
from cl.reports import plots
from cl.stores.local import write_text

EXAMPLES = 12
LATEST = 4


def write_report(
    cycles: list[Cycle],
    entries: list[LedgerEntry],
    path: Path,
    *,
    name: str,
    quarantine: Mapping[str, pd.DataFrame],
) -> Path:
    """Write the report and return its path.

    Args:
        cycles: all finished cycles, oldest first.
        entries: the promotion ledger.
        path: the HTML file.
        name: the model's name.
        quarantine: experience -> rows set aside, with columns id, reason and row.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["percent"] = lambda value: "–" if value is None else f"{value:.1%}"
    evaluated = [cycle for cycle in cycles if cycle.evaluation]
    kept = [cycle for cycle in evaluated if cycle.verdict == "promoted"]
    page = environment.get_template("template.html").render(
        name=name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cycles=cycles,
        entries=entries,
        champion=cycles[-1].champion_after if cycles else None,
        serving=kept[-1] if kept else None,
        judged=evaluated[-LATEST:][::-1],
        timeline=plots.timeline(cycles) if cycles else "",
        matrix=plots.heat_map(evaluated[-1].evaluation.matrix) if evaluated and evaluated[-1].evaluation else "",
        forgetting=[
            (cycle, plots.bars(cycle.evaluation.forgetting))
            for cycle in evaluated[-LATEST:][::-1]
            if cycle.evaluation and cycle.evaluation.forgetting
        ],
        quarantine={one: _quarantined(frame) for one, frame in quarantine.items() if len(frame)},
        accuracy_of=plots.accuracy_of,
        marks=plots.MARKS,
    )
    write_text(path, page)
    return path


def _quarantined(frame: pd.DataFrame) -> dict[str, object]:
    """Return the counts by reason, and a few rows of each."""
    examples = frame.groupby("reason", sort=False).head(2).head(EXAMPLES)
    return {
        "counts": frame["reason"].value_counts().to_dict(),
        "rows": examples.to_dict("records"),
        "total": len(frame),
    }
