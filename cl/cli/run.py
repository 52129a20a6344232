"""The commands `cl init`, `cl demo` and `cl run`."""

from __future__ import annotations

import gc
import shlex
import sys
from functools import partial
from pathlib import Path

import click

from cl.cli.options import json_option, project_option, set_option, show
from cl.cli.tables import CYCLES, DEMO, ColouredLines, on_terminal
from cl.heavy import without_collections


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--task",
    default="text_classification",
    show_default=True,
    metavar="NAME",
    help="What is predicted, as `cl plugins` lists it: cl.yaml has the columns, the model and the gates of the task.",
)
@json_option
def init(folder: Path, task: str, as_json: bool) -> None:
    """Create a project in FOLDER: a commented cl.yaml for the task, data/ under DVC, mlflow/ and .cl/."""
    from cl.commands.init import scaffold

    project = scaffold(folder, task=task)
    name = shlex.quote(str(folder))
    next_steps = f"{project.root}: created. Next: edit cl.yaml, then cl ingest FILE -p {name}, then cl run -p {name}"
    show(as_json, {"project": str(project.root)}, next_steps)


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path("perennial-demo"), show_default=True)
@click.option("--plain", is_flag=True, help="Run without Prefect.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="YAML file with settings in place of the sample's, such as the stores of a team.",
)
@click.option("--fresh", is_flag=True, help="Replace the demo that the folder holds; never another project.")
@json_option
def demo(folder: Path, plain: bool, settings: Path | None, fresh: bool, as_json: bool) -> None:
    """Replay six months of a sample stream in a new project: see it learn, and refuse a bad month."""
    from cl.commands.demo import run_demo

    out = sys.stderr if as_json else ColouredLines(DEMO)
    outcome = run_demo(folder, runner="plain" if plain else "prefect", out=out, settings=settings, fresh=fresh)
    show(as_json, outcome, "")


@click.command()
@set_option
@project_option
@click.option("--plain", is_flag=True, help="Run the same steps without Prefect.")
@click.option("--again", metavar="EXPERIENCE", help="Try an experience again, ignoring the limits of `decide`.")
@json_option
def run(project: Path, plain: bool, again: str | None, as_json: bool) -> None:
    """Run one cycle for each waiting experience: detect drift, decide, train, evaluate, gate, promote.

    Uses the Prefect server at PREFECT_API_URL, or a temporary local one. If killed, run it again: it resumes where it
    stopped.
    """
    with without_collections():
        from cl.commands.run import run_cycles
        from cl.reports.terminal.cycles import cycle_lines

    say = partial(click.echo, err=True)
    cycles = run_cycles(project, again=again, runner="plain" if plain else "prefect", say=say)
    quiet = click.get_current_context().find_root().params.get("quiet", False)
    text = "\n".join(cycle_lines(cycles, report=not quiet)) if cycles else "nothing to do: no experience is waiting"
    show(as_json, [cycle.model_dump(mode="json") for cycle in cycles], on_terminal(text, CYCLES))
    gc.freeze()  # or the interpreter looks for cycles among all objects as it ends, for a second and a half
    if any(cycle.verdict == "refused" for cycle in cycles):
        sys.exit(3)
