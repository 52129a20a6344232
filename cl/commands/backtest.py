"""`cl backtest`: strategies compared on a whole stream, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl import config as configuration
from cl.backtest import backtest
from cl.backtesting.outputs import TITLES, as_json, table, write_outputs
from cl.errors import InputError


def run_backtest(path: Path, data: Path, *, out: Path | None, seeds: list[int], **given: Any) -> dict[str, Any]:
    """Run a backtest, write its outputs, and return them with the table for the terminal.

    Raises:
        InputError: configuration, data or a strategy cannot be used.
    """
    config = configuration.load(path)
    if not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    place = out or Path("backtest") / config.name
    results = backtest(config, data, out=place, seeds=seeds or [config.seed], **given)
    page = write_outputs(results, place, name=config.name)
    return {
        "json": as_json(results),
        "table": [TITLES, *table(results)],
        "failures": [f"{one.name} stopped: {one.failure}" for one in results if one.failure],
        "report": str(page),
    }


def as_text(rows: list[list[str]]) -> str:
    """Return a table in columns, the first flush left, the others flush right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
