"""The command `cl tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cl.cli.options import json_option, show


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--rung", help="Rung of the ladder in CONFIG. [default: strategy and model.tuning, if there is no ladder]"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="File or folder of rows, as for `cl ingest`. [default: the project's]",
)
@click.option("--trials", type=click.IntRange(min=1), help="Number of settings to try, including earlier calls.")
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Time limit of all trials together.")
@click.option(
    "--experiences", type=click.IntRange(min=1), help="Number of experiences that each trial learns, from the first."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the trials and best.yaml.")
@json_option
def tune(config: Path, as_json: bool, rung: str | None, data: Path | None, out: Path | None, **given: Any) -> None:
    """Search better settings for a rung, on validation rows only.

    CONFIG is a cl.yaml; its `tune` section sets the search space and the budget. If killed, run it again: the search
    resumes, and with more trials or seconds it continues.
    """
    from cl.commands.tune import HEADER, run_tune, search_lines, trial_line

    click.echo(HEADER, err=True)
    search, file = run_tune(
        config,
        rung=rung,
        data=data,
        out=out,
        given=given,
        on_trial=lambda trial: click.echo(trial_line(trial), err=True),
    )
    show(as_json, {**search.model_dump(mode="json"), "file": str(file)}, "\n".join(search_lines(search, file)))
