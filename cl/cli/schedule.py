"""The commands for unattended operation: `cl schedule` and `cl trigger`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, set_option, show


@click.command()
@set_option
@project_option
@click.option("--automations-only", is_flag=True, help="Only set up the automations, if a work pool runs the flows.")
def schedule(project: Path, automations_only: bool) -> None:
    """Serve the flows on this machine: watch for new data, and learn on drift or on a schedule.

    Needs a running Prefect server (`prefect server start`) at PREFECT_API_URL. Triggers and notifications are
    configured under `triggers` in cl.yaml. Runs until interrupted.
    """
    from cl.commands.schedule import serve_schedule, set_up_automations

    if automations_only:
        set_up_automations(project)
    else:
        serve_schedule(project, tell=click.echo)


@click.command()
@project_option
@click.option("--again", metavar="EXPERIENCE", help="Try an experience again, ignoring the limits of `decide`.")
@json_option
def trigger(project: Path, again: str | None, as_json: bool) -> None:
    """Request a run of the served learning flow; repeated requests before it starts are one run."""
    from cl.commands.schedule import ask_for_cycle

    run = ask_for_cycle(project, again)
    show(as_json, run, f"{run['name']}: {run['state'].lower()}")
