"""Options that commands share, and how a result or an error is printed."""

from __future__ import annotations

import json
import sys
from math import isfinite
from pathlib import Path
from typing import Any

import click

from cl.redaction import as_line

project_option = click.option(
    "--project",
    "-p",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default="the current folder or the nearest parent with a cl.yaml",
    help="Project folder.",
)
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
