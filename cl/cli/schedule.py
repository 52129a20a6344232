"""The command line where nobody stands beside: `cl schedule` and `cl trigger`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show


@click.command()
@project_option
@click.option("--automations-only", is_flag=True, help="Set up the automations and stop: a work pool runs the flows.")
def schedule(project: Path, automations_only: bool) -> None:
    """Serve the flows on this machine: look for new data, learn when it has drifted, or by the clock.

    Needs a Prefect server that stays (`prefect server start`), named by PREFECT_API_URL. What starts a cycle and who
    is told stands in cl.yaml under `triggers`. Runs until it is interrupted.
    """
    from cl.commands.schedule import serve_schedule, set_up_automations

    if automations_only:
        set_up_automations(project)
    else:
        serve_schedule(project, tell=click.echo)


@click.command()
@project_option
@click.option("--again", metavar="EXPERIENCE", help="Try an experience once more, whatever bounds say.")
@json_option
def trigger(project: Path, again: str | None, as_json: bool) -> None:
    """Ask the served learning flow for a run; asked twice before it starts, it is one run."""
    from cl.commands.schedule import ask_for_cycle

    run = ask_for_cycle(project, again)
    show(as_json, run, f"{run['name']}: {run['state'].lower()}")
