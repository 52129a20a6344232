"""`cl backtest`: compare strategies offline on a whole stream."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl import config as configuration
from cl.backtesting.backtest import BacktestPlan, backtest
from cl.backtesting.outputs import TITLES, as_json, list_failures, matrix_rows, results_table, rung_rows, write_outputs
from cl.errors import InputError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd


def run_backtest(
    path: Path,
    data: Path,
    plan: BacktestPlan,
    *,
    out: Path | None,
    json_file: Path | None,
    jobs: int | None,
    fresh: bool,
) -> dict[str, Any]:
    """Run a backtest, write its outputs, and return them with the tables for the terminal.

    Raises:
        InputError: configuration, data, a strategy or an output path cannot be used.
    """
    config = configuration.load(path)
    if config.data.described:
        log.warning("data.descriptions: a backtest replays the rows of --data, and leaves descriptions out")
    if not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    folder = out or Path("backtest") / config.name
    _check_outputs(folder, json_file)
    results = backtest(config, data, plan, out=folder, jobs=jobs, fresh=fresh)
    page = write_outputs(results, folder, name=config.name)
    if json_file:
        json_file.write_text(json.dumps(as_json(results), indent=1), encoding="utf-8")
    return {
        "json": as_json(results),
        "table": [TITLES, *results_table(results)],
        "matrices": [rows for result in results if (rows := matrix_rows(result))],
        "rungs": [rows for result in results if (rows := rung_rows(result))],
        "failures": list_failures(results),
        "report": str(page),
    }


def _check_outputs(out: Path, json_file: Path | None) -> None:
    """Check before anything runs that the outputs can be written."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    if json_file and json_file.is_dir():
        raise InputError(f"--json {json_file}: is a folder; name a file in it")
    if json_file and not json_file.parent.is_dir():
        raise InputError(f"--json {json_file}: no folder '{json_file.parent}'; create it first")


def as_text(rows: list[list[str]]) -> str:
    """Return a table as text, the first column left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_files(data: pd.DataFrame | Mapping[str, pd.DataFrame], folder: Path) -> Path:
    """Write data frames as Parquet files for a backtest, one per experience, and return their path.

    Raises:
        InputError: there is no frame, or a name cannot be a file name.
    """
    frames = dict(data) if isinstance(data, Mapping) else {"frame": data}
    if not frames:
        raise InputError("data: contains no data frame; pass at least one")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, (name, frame) in enumerate(frames.items(), 1):
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise InputError(f"data: {name!r} cannot name an experience; use letters, digits, '-', '_' and '.'")
        frame.to_parquet(folder / f"{number:04}-{name}.parquet", index=False)
    return folder if isinstance(data, Mapping) else folder / "0001-frame.parquet"
