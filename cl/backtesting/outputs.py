"""What a backtest leaves behind: JSON, CSV, Markdown, pictures, one page; and the table on the terminal."""

from __future__ import annotations

import base64
import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cl.backtesting.plots import plot_comparison, plot_matrix
from cl.backtesting.results import Result
from cl.reports.plots import heat_map
from cl.stores.files import write_text

TITLES = [
    "strategy", "ACC %", "forgetting", "worst", "BWT", "FWT", "intransigence", "weakest class", "seconds",
    "updates", "rows trained", "backward rows", "forward rows", "peak MB", "kept MB",
]  # fmt: skip


CELL = ["strategy", "seeds", "learnt", "tested", "score"]
MOST_COLUMNS = 20
"""Of a matrix on the terminal; a larger one is in the files."""


def as_json(results: list[Result]) -> dict[str, Any]:
    """Return the results under `strategies` and their names."""
    return {"strategies": {one.name: one.model_dump(mode="json", exclude={"name"}) for one in results}}


def write_outputs(results: list[Result], out: Path, *, name: str) -> Path:
    """Write everything into a folder and return the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "results.json", json.dumps(as_json(results), indent=1))
    write_text(out / "results.csv", _csv([_flat(one) for one in results], list(_flat(results[0]))))
    write_text(out / "matrix.csv", _csv(_cells(results), CELL))
    write_text(out / "report.md", as_markdown(results))
    finished = [one for one in results if one.seeds]
    picture = plot_comparison(finished)
    (out / "comparison.png").write_bytes(picture)
    for one in finished:
        (out / f"matrix-{one.name.replace('/', '-')}.png").write_bytes(plot_matrix(one))
    write_text(out / "report.html", _page(results, picture, name))
    return out / "report.html"


def results_table(results: list[Result]) -> list[list[str]]:
    """Return one row of cells for each result, in the order of `TITLES`; scores and losses in points."""
    return [_row(one) if one.seeds else [one.name, "stopped", *[""] * (len(TITLES) - 2)] for one in results]


def list_failures(results: list[Result]) -> list[str]:
    """Return a line for each run that stopped; its seed is named where there are several."""
    return [
        f"{one.name}{f', seed {seed},' if len(one.seeds) + len(one.failures) > 1 else ''} stopped: {why}"
        for one in results
        for seed, why in one.failures.items()
    ]


def as_markdown(results: list[Result]) -> str:
    """Return the table as Markdown, what stopped, and each matrix below it."""
    lines = [_line(TITLES), _line(["---"] * len(TITLES)), *(_line(row) for row in results_table(results))]
    for failure in list_failures(results):
        lines += ["", failure]
    for one in results:
        if one.seeds:
            lines += ["", f"## {one.name}", "", _line(["learnt", *one.experiences])]
            lines.append(_line(["---"] * (1 + len(one.experiences))))
            for learnt, row in zip(one.experiences, one.matrix, strict=True):
                lines.append(_line([learnt, *(f"{100 * value:.1f}" for value in row)]))
            if rungs := rung_rows(one):
                lines += ["", _line(rungs[0]), _line(["---"] * len(rungs[0])), *(_line(row) for row in rungs[1:])]
    return "\n".join(lines) + "\n"


def matrix_rows(result: Result) -> list[list[str]]:
    """Return a matrix as rows of cells for the terminal, columns by their number; none when it is too wide."""
    names = result.experiences
    if not result.seeds or len(names) > MOST_COLUMNS:
        return []
    rows = [
        [f"{at} {learnt}", *(f"{100 * value:.1f}" for value in row)]
        for at, (learnt, row) in enumerate(zip(names, result.matrix, strict=True), 1)
    ]
    return [[f"{result.name}: learnt, tested on", *(str(at) for at in range(1, len(names) + 1))], *rows]


def rung_rows(result: Result) -> list[list[str]]:
    """Return what each rung of a ladder was good for, as rows of cells; none where no ladder was climbed."""
    if not result.rungs:
        return []
    rows = [
        [name, f"{one.begun:g}", f"{one.passed:g}", f"{one.skipped:g}", f"{one.rows:,.0f}", f"{one.seconds:.0f}"]
        for name, one in result.rungs.items()
    ]
    return [[f"{result.name}: rung", "begun", "passed", "no room", "rows trained", "seconds"], *rows]


def _row(one: Result) -> list[str]:
    several = len(one.seeds) > 1
    memory = f"{one.peak_memory_mb:.0f}" + (f" + {one.peak_gpu_memory_mb:.0f} GPU" if one.peak_gpu_memory_mb else "")
    return [
        one.name + (f" ({len(one.seeds)} of {len(one.seeds) + len(one.failures)} seeds)" if one.failures else ""),
        _points(one.acc, one.acc_std if several else None),
        _points(one.forgetting, one.forgetting_std if several else None),
        _points(one.forgetting_max),
        _points(one.bwt, one.bwt_std if several else None),
        _points(one.fwt, one.fwt_std if several else None),
        _points(one.intransigence, one.intransigence_std if several else None),
        f"{one.worst_class[:24]} {_points(one.worst_class_score, one.worst_class_std if several else None)}".strip(),
        f"{one.seconds:.0f}" + (f" ± {one.seconds_std:.0f}" if several else ""),
        str(one.updates),
        *(f"{count:,}" for count in (one.rows_trained, one.backward_rows, one.forward_rows)),
        memory,
        f"{(one.bytes_kept or 0) / 1e6:.1f}",
    ]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _flat(result: Result) -> dict[str, Any]:
    """Return what of a result is one value, for a line of a table."""
    nested = {"experiences", "seeds", "failures", "matrix", "accuracy_over_time", "classes", "rungs"}
    numbers = result.model_dump(mode="json", exclude=nested)
    return {**numbers, "seeds": len(result.seeds), "failures": "; ".join(result.failures.values())}


def _cells(results: list[Result]) -> list[dict[str, Any]]:
    """Return a line for each cell of each matrix: the mean over so many seeds."""
    return [
        dict(zip(CELL, (one.name, len(one.seeds), learnt, tested, score), strict=True))
        for one in results
        for learnt, row in zip(one.experiences, one.matrix, strict=False)  # of a run that stopped, as far as it came
        for tested, score in zip(one.experiences, row, strict=True)
    ]


def _csv(rows: list[dict[str, Any]], columns: list[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns)
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
        if one.seeds
    }
    return environment.get_template("report.html").render(
        name=name, results=results, titles=TITLES, table=results_table(results), maps=maps,
        failures=list_failures(results), rungs={one.name: rung_rows(one) for one in results},
        comparison=base64.b64encode(picture).decode(), experiences=len(results[0].experiences),
        seeds=len(results[0].seeds) + len(results[0].failures), made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip


def _points(value: float | None, std: float | None = None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")
