"""The commands that show a project's state: `cl status`, `cl evaluate`, `cl history`, `cl report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show, show_error
from cl.cli.tables import CYCLES, STATUS, on_terminal


@click.command()
@project_option
@json_option
def status(project: Path, as_json: bool) -> None:
    """Show the champion, the registry's versions, the last cycle, and waiting experiences."""
    from cl.commands.status import read_status
    from cl.reports.terminal.cycles import status_lines

    result = read_status(project)
    show(as_json, result, on_terminal("\n".join(status_lines(result)), STATUS))


@click.command()
@project_option
@json_option
def evaluate(project: Path, as_json: bool) -> None:
    """Score the champion again on the test rows of all that it has learned.

    Where `pipeline.tagger` names a version that finds spans, also end to end, with the tagger of today and with the one
    that the champion was evaluated with before.
    """
    from cl.commands.evaluate import evaluate_champion
    from cl.reports.terminal.versions import evaluate_lines

    result = evaluate_champion(project)
    show(as_json, result, "\n".join(evaluate_lines(result)))


@click.command()
@click.option("--last", type=click.IntRange(1), default=30, show_default=True, help="How many cycles: the newest.")
@click.option("--all", "everything", is_flag=True, help="All cycles, whatever --last says.")
@project_option
@json_option
def history(last: int, everything: bool, project: Path, as_json: bool) -> None:
    """Show the newest cycles: data, drift, decision, scores and verdict."""
    from cl.commands.status import read_cycles
    from cl.reports.terminal.cycles import cycle_lines

    cycles, count = read_cycles(project, last=None if everything else last)
    lines = cycle_lines(cycles) if cycles else ["no cycle yet: cl ingest PATH, then cl run"]
    if len(cycles) < count:
        lines.append(f"the newest {len(cycles)} of {count:,} cycles; cl history --all lists them all")
    text = "\n".join(lines)
    show(as_json, [cycle.model_dump(mode="json") for cycle in cycles], on_terminal(text, CYCLES))


@click.command()
@project_option
@click.option("--out", type=click.Path(path_type=Path), help="The HTML file. [default: reports/index.html]")
@json_option
def report(project: Path, out: Path | None, as_json: bool) -> None:
    """Write the HTML report: timeline, accuracy matrix, forgetting, quarantine, gates, ledger.

    Exit code 1: the report is written, but the ledger is damaged; the report shows the first bad entry.
    """
    from cl.commands.report import report_on

    written = report_on(project, out)
    show(as_json, {"report": str(written.path)}, str(written.path))
    if written.broken:
        show_error(written.broken.line)
        sys.exit(1)
