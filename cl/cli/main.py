"""The command line: thin commands that call the library and print the result."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

import click

from cl import __version__
from cl.cli.backtest import backtest_command
from cl.cli.config import config, plugins
from cl.cli.data import ingest, label, predict
from cl.cli.gates import gates
from cl.cli.interrupts import SERVERS, end_stopped, stops_in_time, stops_when_asked, was_stopped
from cl.cli.labels import labels
from cl.cli.ledger import audit, champion
from cl.cli.messages import show_messages
from cl.cli.options import show_error
from cl.cli.progress_display import showing_progress
from cl.cli.promotion import approve, promote, reject, rollback
from cl.cli.quarantine import quarantine
from cl.cli.run import demo, init, run
from cl.cli.schedule import schedule, trigger
from cl.cli.sections import SectionedGroup
from cl.cli.serve import serve
from cl.cli.status import evaluate, history, report, status
from cl.cli.stores import move_stores_command
from cl.cli.tune import tune
from cl.cli.ui import ui
from cl.cli.versions import diff, distil, export, forget, gc, lineage, reproduce
from cl.errors import PerennialError
from cl.process.processors import wait_passively
from cl.redaction import format_traceback, hide, secrets_in

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 a gate said no."


SECTIONS: dict[str, dict[click.Command, str]] = {
    "Start": {
        init: "Create a project",
        demo: "Replay six months of a sample stream",
        ingest: "Read labelled rows into experiences",
        run: "Learn from what waits, gate and promote",
        predict: "Answer texts or a file with the champion",
        config: "Check and show the configuration",
        plugins: "List strategies, gates, tasks and others",
    },
    "Look": {
        status: "Champion, versions, and what waits",
        evaluate: "Score the champion again, also end to end",
        history: "Every cycle, with its reasons",
        ui: "A page with all projects of a folder",
        report: "Write the HTML report",
        gates: "Verdicts on a version, and rows it lost",
        diff: "Compare two versions",
        lineage: "Origin of a version, back to its base",
        champion: "What serves, or served at a past time",
        audit: "Print and verify the ledger",
        quarantine: "Show and export rows that were set aside",
    },
    "Decide": {
        approve: "Promote a version that waits for approval",
        reject: "Reject a version that waits for approval",
        promote: "Make a version champion, canary or shadow",
        rollback: "Let the previous champion serve again",
        backtest_command: "Compare strategies on a whole stream",
        tune: "Search better settings for a rung",
        distil: "Compress a version into a cheaper one",
    },
    "Operate": {
        serve: "Answer over HTTP with the champion",
        schedule: "Watch and learn without supervision",
        trigger: "Ask the scheduled flow for one more run",
        label: "Join late labels to logged answers",
        labels: "List, rename, merge, split, retire labels",
        forget: "Remove rows from data and model",
        export: "Write a version to a folder of its own",
        reproduce: "Train a version again, and compare bits",
        gc: "Free the space of versions not needed",
        move_stores_command: "Move stores to a team's servers, or back",
    },
}
"""The commands by what a person is about to do, with the line that `cl --help` shows of each."""


@click.group(
    cls=SectionedGroup,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="perennial")
@click.option("--verbose", "-v", is_flag=True, help="Show log messages and tracebacks.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress, and no report of entities.")
def cl(verbose: bool, quiet: bool) -> None:
    """Keep a transformer learning without forgetting.

    \b
    Try it:                cl demo
    Your own data:         cl init my-model
                           cl ingest my-model/inbox -p my-model
                           cl run -p my-model
                           cl predict -p my-model "where is my parcel?"
    """
    context = click.get_current_context()
    shows_runs = verbose or context.invoked_subcommand == "schedule"  # whose terminal is a log
    _quiet_dependencies(verbose=shows_runs)
    show_messages(verbose=verbose, prefect=shows_runs or "PREFECT_LOGGING_LEVEL" in os.environ)
    if not (quiet or verbose or context.invoked_subcommand in SERVERS):  # messages name the stages, too
        context.with_resource(showing_progress())


for section, commands in SECTIONS.items():
    for command, summary in commands.items():
        command.short_help = summary
        cl.add_command(command)
        cl.sections.setdefault(section, []).append(str(command.name))


def main() -> None:
    """Run the command line; an expected error is reported as one line on standard error and an exit code."""
    hide(*(secret for word in sys.argv[1:] if "://" in word for secret in secrets_in(word)))
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    in_time = contextlib.nullcontext() if command in SERVERS else stops_in_time()
    with _one_line_errors(), in_time, stops_when_asked():
        sys.exit(cl.main(prog_name="cl", standalone_mode=False) or 0)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    from cl.stores.error_messages import translate_disk_errors

    try:
        with translate_disk_errors():
            yield
    except PerennialError as error:
        if was_stopped(error):
            end_stopped(error)
        if "-v" in sys.argv or "--verbose" in sys.argv:
            print(format_traceback(error), end="", file=sys.stderr)
        show_error(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help, in many lines
            error.show()
        else:
            command = getattr(getattr(error, "ctx", None), "command_path", "cl")
            show_error(f"{error.format_message()} See: {command} --help")
        sys.exit(error.exit_code)
    except BaseException as error:
        if was_stopped(error):
            end_stopped()
        if isinstance(error, SystemExit):
            raise
        print(format_traceback(error), end="", file=sys.stderr)  # a bug; Python's own traceback could show passwords
        sys.exit(1)


def _quiet_dependencies(*, verbose: bool) -> None:
    """Set the environment variables that quieten dependencies, unless the user has set them."""
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        # torch caches oneDNN primitives for 1,000 batch shapes, most of which never recur: up to 0.9 GB; 64 take 0.1 GB
        # and no batch takes longer
        "LRU_CACHE_CAPACITY": "64",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    if not verbose:
        quiet |= {"PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL"}
        if "PREFECT_LOGGING_LEVEL" not in os.environ:  # the terminal's handler alone: the server keeps a run's logs
            names = ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_INTERNAL_LOGGING_LEVEL")
            quiet |= dict.fromkeys(names, "CRITICAL")
        quiet["HF_HUB_VERBOSITY"] = "error"  # it warns about each retry, twice; the last failure is reported
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    wait_passively()
    if not verbose:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns about each retry; the last failure is reported
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, and a webhook's contains a token


if __name__ == "__main__":
    main()
