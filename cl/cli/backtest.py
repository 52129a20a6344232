"""The command line of a backtest: `cl backtest`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cl.cli.options import show


@click.command("backtest")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="What `cl ingest` would be given.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="SPEC",
    help="A name, a mapping such as '{name: replay, rows: 1500}', several joined by +, `ladder` (climbed as far as the "
    "gates ask, on validation rows), `ladder:RUNG` (that rung alone), or LABEL=SPEC. Repeatable.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(["always", "first", "last", "drift"]),
    default=["always"],
    help="When to learn: always; the first alone (a frozen model); the first, and all others at once at the end; or as "
    "the drift decision says. Repeatable.",
)
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(min=0), help="Repeatable: mean and spread.")
@click.option(
    "--then",
    multiple=True,
    type=click.Choice(["never", "student", "teacher"]),
    help="Cheaper versions every distil.when.updates updates: never, or what learns on. Repeatable: compared.",
)
@click.option("--experiences", "first", type=click.IntRange(min=1), help="Only so many, from the first. [default: all]")
@click.option("--order", metavar="NAME,NAME,...", help="Experiences in this order; those not named are left out.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for all results. [default: backtest/NAME]")
@click.option("--json", "json_file", metavar="FILE", help="Write the results there as well; - prints them.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at once. [default: one for each two processors]")
@click.option("--fresh", is_flag=True, help="Repeat runs that are finished.")
def backtest_command(config: Path, json_file: str | None, **given: Any) -> None:
    """Replay a whole stream under several strategies, and compare what they reach and cost.

    CONFIG is a cl.yaml; each strategy takes its place in it. Killed at any moment, it goes on after the last
    finished experience when it is run again.
    """
    from cl.backtesting.backtest import BacktestPlan
    from cl.commands.backtest import as_text, run_backtest

    data, out, jobs, fresh = (given.pop(key) for key in ("data", "out", "jobs", "fresh"))
    file = Path(json_file) if json_file and json_file != "-" else None
    done = run_backtest(config, data, BacktestPlan(**given), out=out, json_file=file, jobs=jobs, fresh=fresh)
    if json_file == "-":
        show(True, done["json"], "")
    else:
        click.echo("\n\n".join(as_text(rows) for rows in [done["table"], *done["rungs"], *done["matrices"]]) + "\n")
        click.echo(f"Report: {done['report']}")
    for line in done["failures"]:
        click.echo(f"cl: {line}", err=True)
    if done["failures"]:
        sys.exit(1)
