"""The command line about versions: `cl diff`, `cl lineage`."""

from __future__ import annotations

from pathlib import Path

import click

from cl.options import json_option, project_option, show


@click.command()
@click.argument("one", metavar="V1")
@click.argument("other", metavar="V2")
@project_option
@json_option
def diff(one: str, other: str, project: Path, as_json: bool) -> None:
    """Compare two versions: scores by experience and class, configuration, data, labels, size, packages.

    Scores are over the test rows that both were tested on.
    """
    from cl.commands.diff import difference
    from cl.reports.versions import diff_lines

    found = difference(project, one, other)
    show(as_json, found, "\n".join(diff_lines(found)))


@click.command()
@click.argument("version")
@project_option
@json_option
def lineage(version: str, project: Path, as_json: bool) -> None:
    """Show what VERSION was made of and from: data, code, configuration, and its parents."""
    from cl.commands.lineage import lineage_of
    from cl.reports.versions import lineage_lines

    found = lineage_of(project, version)
    show(as_json, found, "\n".join(lineage_lines(found)))
