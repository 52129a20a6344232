"""Outputs of a backtest: JSON, CSV, Markdown, plots, an HTML page, and the table on the terminal."""

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
    "strategy", "ACC %", "forgotten pt", "worst pt", "BWT pt", "FWT pt", "intransigence pt", "weakest class %",
    "seconds", "updates", "rows trained", "backward rows", "forward rows", "peak MB", "kept MB",
]  # fmt: skip


CELL = ["strategy", "seeds", "learnt", "tested", "score"]
MOST_COLUMNS = 20
"""Maximum columns of a matrix on the terminal; a larger one is only in the files."""


def as_json(results: list[Result]) -> dict[str, Any]:
    """Return the results under `strategies` and their names."""
    return {"strategies": {result.name: result.model_dump(mode="json", exclude={"name"}) for result in results}}


def write_outputs(results: list[Result], out: Path, *, name: str) -> Path:
    """Write all outputs to a folder and return the path of the HTML page."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "results.json", json.dumps(as_json(results), indent=1))
    write_text(out / "results.csv", _to_csv([_flatten(result) for result in results], list(_flatten(results[0]))))
    write_text(out / "matrix.csv", _to_csv(_matrix_cells(results), CELL))
    write_text(out / "report.md", as_markdown(results))
    finished = [result for result in results if result.seeds]
    picture = plot_comparison(finished)
    (out / "comparison.png").write_bytes(picture)
    for result in finished:
        (out / f"matrix-{result.name.replace('/', '-')}.png").write_bytes(plot_matrix(result))
    write_text(out / "report.html", _render_page(results, picture, name))
    return out / "report.html"


def results_table(results: list[Result]) -> list[list[str]]:
    """Return one row of cells per result, in the order of `TITLES`; scores and losses in percentage points."""
    return [
        _result_row(result) if result.seeds else [result.name, "stopped", *[""] * (len(TITLES) - 2)]
        for result in results
    ]


def list_failures(results: list[Result]) -> list[str]:
    """Return a line for each failed run, with its seed if there are several."""
    return [
        f"{result.name}{f', seed {seed},' if len(result.seeds) + len(result.failures) > 1 else ''} stopped: {why}"
        for result in results
        for seed, why in result.failures.items()
    ]


def as_markdown(results: list[Result]) -> str:
    """Return the table of results, the failures and all matrices as Markdown."""
    lines = [
        _markdown_row(TITLES),
        _markdown_row(["---"] * len(TITLES)),
        *(_markdown_row(row) for row in results_table(results)),
    ]
    for failure in list_failures(results):
        lines += ["", failure]
    for result in results:
        if result.seeds:
            lines += ["", f"## {result.name}", "", _markdown_row(["learnt", *result.experiences])]
            lines.append(_markdown_row(["---"] * (1 + len(result.experiences))))
            for learned, row in zip(result.experiences, result.matrix, strict=True):
                lines.append(_markdown_row([learned, *(_format_points(value) for value in row)]))
            if rungs := rung_rows(result):
                lines += [
                    "",
                    _markdown_row(rungs[0]),
                    _markdown_row(["---"] * len(rungs[0])),
                    *(_markdown_row(row) for row in rungs[1:]),
                ]
    return "\n".join(lines) + "\n"


def matrix_rows(result: Result) -> list[list[str]]:
    """Return a matrix as rows of cells for the terminal, with numbered columns; [] if it is too wide."""
    names = result.experiences
    if not result.seeds or len(names) > MOST_COLUMNS:
        return []
    rows = [
        [f"{number} {learned}", *(_format_points(value) for value in row)]
        for number, (learned, row) in enumerate(zip(names, result.matrix, strict=True), 1)
    ]
    return [[f"{result.name}: learned, tested on", *(str(number) for number in range(1, len(names) + 1))], *rows]


def rung_rows(result: Result) -> list[list[str]]:
    """Return the use of each rung as rows of cells; [] if no ladder was climbed."""
    if not result.rungs:
        return []
    rows = [
        [name, f"{rung.begun:g}", f"{rung.passed:g}", f"{rung.skipped:g}", f"{rung.rows:,.0f}", f"{rung.seconds:.0f}"]
        for name, rung in result.rungs.items()
    ]
    return [[f"{result.name}: rung", "begun", "passed", "skipped", "rows trained", "seconds"], *rows]


def _result_row(result: Result) -> list[str]:
    several = len(result.seeds) > 1
    memory = f"{result.peak_memory_mb:.0f}" + (
        f" + {result.peak_gpu_memory_mb:.0f} GPU" if result.peak_gpu_memory_mb else ""
    )
    worst_score = _format_points(result.worst_class_score, result.worst_class_std if several else None)
    return [
        result.name
        + (f" ({len(result.seeds)} of {len(result.seeds) + len(result.failures)} seeds)" if result.failures else ""),
        _format_points(result.acc, result.acc_std if several else None),
        _format_points(result.forgetting, result.forgetting_std if several else None),
        _format_points(result.forgetting_max),
        _format_points(result.bwt, result.bwt_std if several else None),
        _format_points(result.fwt, result.fwt_std if several else None),
        _format_points(result.intransigence, result.intransigence_std if several else None),
        f"{result.worst_class[:24]} {worst_score}".strip(),
        f"{result.seconds:.0f}" + (f" ± {result.seconds_std:.0f}" if several else ""),
        str(result.updates),
        *(f"{count:,}" for count in (result.rows_trained, result.backward_rows, result.forward_rows)),
        memory,
        f"{(result.bytes_kept or 0) / 1e6:.1f}",
    ]


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _flatten(result: Result) -> dict[str, Any]:
    """Return the scalar values of a result, for one line of a table."""
    nested = {"experiences", "seeds", "failures", "matrix", "accuracy_over_time", "classes", "rungs"}
    numbers = result.model_dump(mode="json", exclude=nested)
    return {**numbers, "seeds": len(result.seeds), "failures": "; ".join(result.failures.values())}


def _matrix_cells(results: list[Result]) -> list[dict[str, Any]]:
    """Return a line for each cell of each matrix: the mean over the seeds."""
    return [
        dict(zip(CELL, (result.name, len(result.seeds), learned, tested, score), strict=True))
        for result in results
        for learned, row in zip(result.experiences, result.matrix, strict=False)  # a failed run has fewer rows
        for tested, score in zip(result.experiences, row, strict=True)
    ]


def _to_csv(rows: list[dict[str, Any]], columns: list[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _render_page(results: list[Result], picture: bytes, name: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, here.parent / "reports"]), autoescape=True, undefined=StrictUndefined
    )
    maps = {
        result.name: heat_map(
            {
                learned: {
                    tested: value for tested, value in zip(result.experiences, row, strict=True) if value is not None
                }
                for learned, row in zip(result.experiences, result.matrix, strict=True)
            }
        )
        for result in results
        if result.seeds
    }
    return environment.get_template("report.html").render(
        name=name, results=results, titles=TITLES, table=results_table(results), maps=maps,
        failures=list_failures(results), rungs={result.name: rung_rows(result) for result in results},
        comparison=base64.b64encode(picture).decode(), experiences=len(results[0].experiences),
        seeds=len(results[0].seeds) + len(results[0].failures), made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip


def _format_points(value: float | None, std: float | None = None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")
