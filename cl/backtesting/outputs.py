"""What a backtest leaves behind: JSON, CSV, Markdown, pictures, one page; and the table on the terminal."""

from __future__ import annotations

import base64
import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cl.backtesting.pictures import comparison, matrix_picture
from cl.backtesting.results import Result
from cl.reports.plots import heat_map
from cl.stores.local import write_text

TITLES = [
    "strategy", "ACC %", "forgetting", "worst", "BWT", "FWT", "intransigence", "weakest class", "seconds",
    "updates", "rows trained", "backward rows", "forward rows", "peak MB", "kept MB",
]  # fmt: skip


def as_json(results: list[Result]) -> dict[str, Any]:
    """Return the results under `strategies` and their names."""
    return {"strategies": {one.name: one.model_dump(mode="json", exclude={"name"}) for one in results}}


def write_outputs(results: list[Result], out: Path, *, name: str) -> Path:
    """Write everything into a folder and return the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "results.json", json.dumps(as_json(results), indent=1))
    write_text(out / "results.csv", _csv(results))
    write_text(out / "report.md", markdown(results))
    picture = comparison([one for one in results if not one.failure])
    (out / "comparison.png").write_bytes(picture)
    for one in results:
        if not one.failure:
            (out / f"matrix-{one.name.replace('/', '-')}.png").write_bytes(matrix_picture(one))
    write_text(out / "report.html", _page(results, picture, name))
    return out / "report.html"


def table(results: list[Result]) -> list[list[str]]:
    """Return one row of cells for each result, in the order of `TITLES`; scores and losses in points."""
    return [
        [
            one.name,
            _points(one.acc, one.acc_std),
            _points(one.forgetting, one.forgetting_std),
            _points(one.forgetting_max),
            _points(one.bwt),
            _points(one.fwt),
            _points(one.intransigence),
            f"{one.worst_class[:24]} {100 * one.worst_class_score:.0f}",
            f"{one.seconds:.0f}",
            str(one.updates),
            f"{one.rows_trained:,}",
            f"{one.backward_rows:,}",
            f"{one.forward_rows:,}",
            f"{one.peak_memory_mb:.0f}",
            f"{one.bytes_kept / 1e6:.1f}",
        ]
        if not one.failure
        else [one.name, "stopped", *[""] * (len(TITLES) - 2)]
        for one in results
    ]


def markdown(results: list[Result]) -> str:
    """Return the table as Markdown, and each matrix below it."""
    lines = [_line(TITLES), _line(["---"] * len(TITLES)), *(_line(row) for row in table(results))]
    for one in results:
        if one.failure:
            lines += ["", f"{one.name} stopped: {one.failure}"]
            continue
        lines += ["", f"## {one.name}", "", _line(["learnt", *one.experiences])]
        lines.append(_line(["---"] * (1 + len(one.experiences))))
        for learnt, row in zip(one.experiences, one.matrix, strict=True):
            lines.append(_line([learnt, *(f"{100 * value:.1f}" for value in row)]))
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _csv(results: list[Result]) -> str:
    skipped = {"experiences", "seeds", "matrix", "accuracy_over_time"}
    rows = [one.model_dump(mode="json", exclude=skipped) for one in results]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _page(results: list[Result], picture: bytes, name: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, here.parent / "reports"]), autoescape=True, undefined=StrictUndefined
    )
    maps = {
        one.name: heat_map(
            {
                learnt: dict(zip(one.experiences, row, strict=True))
                for learnt, row in zip(one.experiences, one.matrix, strict=True)
            }
        )
        for one in results
        if not one.failure
    }
    return environment.get_template("page.html").render(
        name=name, results=results, titles=TITLES, table=table(results), maps=maps,
        comparison=base64.b64encode(picture).decode(), experiences=len(results[0].experiences),
        seeds=len(results[0].seeds), made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip


def _points(value: float | None, spread: float = 0.0) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" + (f" ± {100 * spread:.1f}" if spread else "")
