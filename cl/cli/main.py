"""The command line: thin commands that call the library and print what it returns."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cl import __version__
from cl.cli.data import ingest, label, predict
from cl.cli.gates import gates
from cl.cli.ledger import audit, champion
from cl.cli.options import json_option, project_option, show
from cl.cli.promotion import approve, promote, reject, rollback
from cl.cli.schedule import schedule, trigger
from cl.cli.serve import serve
from cl.cli.stores import move_stores_command
from cl.cli.tune import tune
from cl.cli.versions import diff, distil, export, forget, gc, lineage, reproduce
from cl.errors import PerennialError
from cl.redaction import Formatter, format_traceback

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 a gate refused."


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="perennial")
@click.option("--verbose", "-v", is_flag=True, help="Log what happens, and show tracebacks.")
def cl(verbose: bool) -> None:
    """Keep a transformer learning without forgetting.

    \b
    A first look:          cl demo
    Your own data:         cl init my-model
                           cl ingest my-model/inbox -p my-model
                           cl run -p my-model
                           cl predict -p my-model "where is my parcel?"
    """
    serves = click.get_current_context().invoked_subcommand == "schedule"  # its runs' logs are read in Prefect's UI
    _quiet_dependencies(verbose=verbose or serves)
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


@cl.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Make a project in FOLDER: cl.yaml with comments, data/ under DVC, mlflow/ and .cl/."""
    from cl.commands.init import scaffold

    project = scaffold(folder)
    next_steps = f"{project.root}: ready. Next: edit cl.yaml, then cl ingest FILE -p {folder}, then cl run -p {folder}"
    show(as_json, {"project": str(project.root)}, next_steps)


@cl.command()
@project_option
@click.option("--plain", is_flag=True, help="Run the same steps without Prefect.")
@click.option("--again", metavar="EXPERIENCE", help="Try an experience once more, whatever bounds say.")
@json_option
def run(project: Path, plain: bool, again: str | None, as_json: bool) -> None:
    """Run one cycle for each experience that waits: drift, decide, train, evaluate, gate, promote.

    Uses the Prefect server that PREFECT_API_URL names, or a temporary local one. Killed at any moment, it goes on
    where it stopped when it is run again.
    """
    from cl.commands.run import run_cycles
    from cl.reports.terminal.cycles import cycle_lines

    cycles = run_cycles(project, again=again, runner="plain" if plain else "prefect")
    text = "\n".join(cycle_lines(cycles)) if cycles else "nothing to do: no new experience waits"
    show(as_json, [cycle.model_dump(mode="json") for cycle in cycles], text)
    if any(cycle.verdict == "refused" for cycle in cycles):
        sys.exit(3)


@cl.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path("perennial-demo"), show_default=True)
@click.option("--plain", is_flag=True, help="Run without Prefect.")
@json_option
def demo(folder: Path, plain: bool, as_json: bool) -> None:
    """Replay six months of a sample stream in a fresh project: see it learn, and refuse a bad month."""
    from cl.commands.demo import run_demo

    outcome = run_demo(folder, runner="plain" if plain else "prefect", out=sys.stderr if as_json else sys.stdout)
    show(as_json, outcome, "")


@cl.command()
@project_option
@json_option
def status(project: Path, as_json: bool) -> None:
    """Show the champion, the registry's versions, the last cycle, and what waits."""
    from cl.commands.status import read_status
    from cl.reports.terminal.cycles import status_lines

    found = read_status(project)
    show(as_json, found, "\n".join(status_lines(found)))


@cl.command()
@project_option
@json_option
def history(project: Path, as_json: bool) -> None:
    """Show every cycle: data, drift, decision, scores and verdict."""
    from cl.commands.status import read_cycles
    from cl.reports.terminal.cycles import cycle_lines

    cycles = read_cycles(project)
    text = "\n".join(cycle_lines(cycles)) if cycles else "no cycle yet: cl ingest PATH, then cl run"
    show(as_json, [cycle.model_dump(mode="json") for cycle in cycles], text)


@cl.command()
@project_option
@click.option("--out", type=click.Path(path_type=Path), help="The HTML file. [default: reports/index.html]")
@json_option
def report(project: Path, out: Path | None, as_json: bool) -> None:
    """Write the HTML report: timeline, accuracy matrix, forgetting, quarantine, gates, ledger.

    Exit code 1: it is written, and names an entry of the ledger that cannot be trusted.
    """
    from cl.commands.report import report_on

    found = report_on(project, out)
    show(as_json, {"report": str(found.path)}, str(found.path))
    if found.broken:
        print(f"cl: entry {found.broken.sequence} of the ledger is broken: {found.broken.why}", file=sys.stderr)
        sys.exit(1)


@cl.command("backtest")
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


COMMANDS = [ingest, predict, label, promote, approve, reject, rollback, champion, audit, gates, serve]
COMMANDS += [diff, lineage, reproduce, export, distil, forget, gc, schedule, trigger, tune, move_stores_command]
for command in COMMANDS:
    cl.add_command(command)


@cl.command("config-reference")
def config_reference() -> None:
    """Print the reference of every key of cl.yaml, as Markdown."""
    from cl.reports.config_reference import configuration_reference

    click.echo(configuration_reference())


def main() -> None:
    """Run the command line; every expected error is one line on standard error and an exit code."""
    with _one_line_errors():
        cl(prog_name="cl")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from cl.stores.error_messages import translate_disk_errors

    try:
        with translate_disk_errors():
            yield
    except PerennialError as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            print(format_traceback(error), end="", file=sys.stderr)
        print(f"cl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("cl: stopped", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # a fault of ours; Python would show its traceback with all that it holds
        print(format_traceback(error), end="", file=sys.stderr)
        sys.exit(1)


def _quiet_dependencies(*, verbose: bool) -> None:
    """Set what the libraries read from the environment, unless the user has."""
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        # threads that spin while they wait stop everything else on a busy machine, each other included
        "OMP_WAIT_POLICY": "PASSIVE",
        # torch keeps what oneDNN made for a thousand shapes of batches, most of which never come again: 0.9 GB in the
        # end, where 64 of them take 0.1 GB and no batch takes longer
        "LRU_CACHE_CAPACITY": "64",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    if not verbose:
        quiet |= {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL"}
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    if not verbose:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # each of its retries: the last one's failure is told
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes whole URLs, and a webhook's holds its token


if __name__ == "__main__":
    main()
