"""The command line of the search for better settings: `cl tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cl.cli.options import json_option, show


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--rung", help="Of the ladder in CONFIG. [default: strategy and model.tuning, where there is no ladder]")
@click.option(
    "--data", type=click.Path(path_type=Path), help="What `cl ingest` would be given. [default: the project's]"
)
@click.option("--trials", type=click.IntRange(min=1), help="Settings to try, those of earlier calls included.")
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Of all trials together.")
@click.option("--experiences", type=click.IntRange(min=1), help="Learnt by each trial, from the first.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the trials and best.yaml.")
@json_option
def tune(config: Path, as_json: bool, rung: str | None, data: Path | None, out: Path | None, **given: Any) -> None:
    """Search better settings for a rung, on validation rows only.

    CONFIG is a cl.yaml; its `tune` says what is searched, and how long. Killed at any moment, the search goes on where
    it was when it is run again, and with more trials or seconds it goes on from the end.
    """
    from cl.commands.tune import HEADER, run_tune, search_lines, trial_line

    click.echo(HEADER, err=True)
    found, file = run_tune(
        config,
        rung=rung,
        data=data,
        out=out,
        given=given,
        on_trial=lambda trial: click.echo(trial_line(trial), err=True),
    )
    show(as_json, {**found.model_dump(mode="json"), "file": str(file)}, "\n".join(search_lines(found, file)))
