"""The command `cl quarantine` and what it can do with the rows that were set aside."""

from __future__ import annotations

from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show

reason_option = click.option("--reason", metavar="TEXT", help="Only rows whose reason contains this text.")


@click.group(invoke_without_command=True)
@project_option
@json_option
@click.pass_context
def quarantine(context: click.Context, project: Path, as_json: bool) -> None:
    """List the rows that `cl ingest` set aside, by experience and reason, and how many came back mended.

    To mend rows: export them, change the file, and ingest it like any other.
    """
    from cl.commands.quarantine import list_quarantine
    from cl.reports.terminal.quarantine import quarantine_lines

    context.default_map = {name: {"project": project, "as_json": as_json} for name in ("show", "export")}
    if context.invoked_subcommand is None:
        entries = list_quarantine(project)
        show(as_json, entries, "\n".join(quarantine_lines(entries)))


@quarantine.command("show", short_help="Show rows that were set aside, with reasons")
@click.argument("experience")
@reason_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The most rows to show.")
@project_option
@json_option
def show_command(experience: str, reason: str | None, limit: int, project: Path, as_json: bool) -> None:
    """Show the rows of EXPERIENCE that were set aside, with the reason of each."""
    from cl.commands.quarantine import show_quarantine
    from cl.reports.terminal.quarantine import quarantined_row_lines

    output = show_quarantine(project, experience, reason=reason, limit=limit)
    show(as_json, output, "\n".join(quarantined_row_lines(output)))


@quarantine.command("export", short_help="Write rows to a file, to be mended")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--experience", metavar="EXPERIENCE", help="Only rows of this experience.")
@reason_option
@project_option
@json_option
def export_command(file: Path, experience: str | None, reason: str | None, project: Path, as_json: bool) -> None:
    """Write the rows that have not come back to FILE (.csv or .jsonl), as they came, to be mended and ingested."""
    from cl.commands.quarantine import export_quarantine
    from cl.reports.terminal.quarantine import exported_line

    output = export_quarantine(project, file, experience=experience, reason=reason)
    show(as_json, output, exported_line(output))
