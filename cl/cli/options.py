"""Options that commands share, and how a result or an error is printed."""

from __future__ import annotations

import json
import os
import sys
from math import isfinite
from pathlib import Path
from typing import Any

import click

from cl.redaction import as_line


def _let_count(context: click.Context, parameter: click.Parameter, settings: tuple[str, ...]) -> None:
    """Let the settings of `--set` count until the command ends."""
    if settings and not context.resilient_parsing:
        from cl.config.overrides import override

        context.with_resource(override(settings))


project_option = click.option(
    "--project",
    "-p",
    type=click.Path(path_type=Path),
    # not click's envvar, which would win over a `-p` that was given to the group above
    default=lambda: Path(os.environ.get("CL_PROJECT", "")),
    show_default="CL_PROJECT, or the current folder or the nearest parent with a cl.yaml",
    help="Project folder.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    expose_value=False,
    callback=_let_count,
    help="A setting in place of that in cl.yaml, such as training.epochs=2; the value is YAML. Repeatable.",
)
config_argument = click.argument("config", required=False, type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


class FiniteRange(click.FloatRange):
    """A range of numbers, of which NaN and infinity are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def show(as_json: bool, value: Any, text: str) -> None:
    """Print a result as JSON or as text."""
    if as_json:
        click.echo(json.dumps(value, indent=1, ensure_ascii=False))
    elif text:
        click.echo(text)


def show_error(message: object) -> None:
    """Print an error on standard error as one bounded line without secrets: the only way in which a command does so."""
    print(f"cl: {as_line(message)}", file=sys.stderr)


def config_file(config: Path | None, project: Path) -> Path:
    """Return the configuration that an optional CONFIG names; without it, that of the project.

    Raises:
        InputError: there is neither.
    """
    from cl.stores.project_folder import find_project

    return find_project(project).config if config is None else config
