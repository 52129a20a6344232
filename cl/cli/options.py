"""Options that commands share, and how a result is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

project_option = click.option(
    "--project",
    "-p",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default="the current folder or the nearest parent with a cl.yaml",
    help="Project folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def show(as_json: bool, value: Any, text: str) -> None:
    """Print a result as JSON or as text."""
    if as_json:
        click.echo(json.dumps(value, indent=1, ensure_ascii=False))
    elif text:
        click.echo(text)
