"""The command `cl backtest`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cl.cli.options import config_argument, config_file, project_option, set_option, show, show_error


@click.command("backtest")
@config_argument
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="File or folder of rows, as for `cl ingest`."
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="SPEC",
    help="A name, a mapping such as '{name: replay, rows: 1500}', several joined by +, `ladder` (climbed until the "
    "gates pass on validation rows), `ladder:RUNG` (only that rung), or LABEL=SPEC. Repeatable.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(["always", "first", "last", "drift"]),
    default=["always"],
    help="When to learn: every experience; only the first (a frozen model); the first, and all others together at the "
    "end; or when the drift decision says so. Repeatable.",
)
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    type=click.IntRange(min=0),
    help="Random seed. Repeatable: results are mean and standard deviation.",
)
@click.option(
    "--then",
    multiple=True,
    type=click.Choice(["never", "student", "teacher"]),
    help="Which version learns the next experience after compression every distil.when.updates updates; never: no "
    "compression. Repeatable.",
)
@click.option(
    "--experiences",
    "first",
    type=click.IntRange(min=1),
    help="Number of experiences to replay, from the first. [default: all]",
)
@click.option("--order", metavar="NAME,NAME,...", help="Order of the experiences; those not named are left out.")
@click.option(
    "--baselines/--no-baselines",
    default=True,
    help="Also replay the majority class, the nearest class mean and logistic regression on frozen features.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results. [default: backtest/NAME]")
@click.option("--json", "json_file", metavar="FILE", help="Also write the results to FILE; - prints them.")
@click.option("--jobs", type=click.IntRange(min=1), help="Parallel runs. [default: half the number of cores]")
@click.option("--fresh", is_flag=True, help="Repeat finished runs.")
@set_option
@project_option
def backtest_command(config: Path | None, project: Path, json_file: str | None, **given: Any) -> None:
    """Replay a whole stream under several strategies, and compare their scores and costs.

    CONFIG is a cl.yaml, by default the project's; each strategy replaces the configured one. If killed, run it again:
    it resumes after the last finished experience.
    """
    from cl.backtesting.backtest import BacktestPlan
    from cl.commands.backtest import as_text, run_backtest

    data, out, jobs, fresh = (given.pop(key) for key in ("data", "out", "jobs", "fresh"))
    file = Path(json_file) if json_file and json_file != "-" else None
    done = run_backtest(
        config_file(config, project), data, BacktestPlan(**given), out=out, json_file=file, jobs=jobs, fresh=fresh
    )
    if json_file == "-":
        show(True, done["json"], "")
    else:
        click.echo("\n\n".join(as_text(rows) for rows in [done["table"], *done["rungs"], *done["matrices"]]) + "\n")
        click.echo(f"Report: {done['report']}")
    for line in done["failures"]:
        show_error(line)
    if done["failures"]:
        sys.exit(1)
