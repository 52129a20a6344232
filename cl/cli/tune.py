"""The command `cl tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cl.cli.options import FiniteRange, config_argument, config_file, json_option, project_option, set_option, show

if TYPE_CHECKING:
    from cl.records.search import Trial


@click.command()
@config_argument
@click.option(
    "--rung", help="Rung of the ladder in CONFIG. [default: strategy and model.tuning, if there is no ladder]"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="File or folder of rows, as for `cl ingest`. [default: the project's]",
)
@click.option("--trials", type=click.IntRange(min=1), help="Number of settings to try, including earlier calls.")
@click.option("--max-seconds", type=FiniteRange(min=0, min_open=True), help="Time limit of all trials together.")
@click.option(
    "--experiences", type=click.IntRange(min=1), help="Number of experiences that each trial learns, from the first."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the trials and best.yaml.")
@set_option
@project_option
@json_option
def tune(
    config: Path | None,
    project: Path,
    as_json: bool,
    rung: str | None,
    data: Path | None,
    out: Path | None,
    **given: Any,
) -> None:
    """Search better settings for a rung, on validation rows only.

    CONFIG is a cl.yaml, by default the project's; its `tune` section sets the search space and the budget. If killed,
    run it again: the search resumes, and with more trials or seconds it continues.
    """
    from cl.commands.tune import HEADER, run_tune, search_lines, trial_line

    header = iter([HEADER])

    def show_trial(trial: Trial) -> None:
        for line in (*header, trial_line(trial)):
            click.echo(line, err=True)

    search, file = run_tune(
        config_file(config, project),
        rung=rung,
        data=data,
        out=out,
        given=given,
        on_trial=show_trial,
    )
    show(as_json, {**search.model_dump(mode="json"), "file": str(file)}, "\n".join(search_lines(search, file)))
