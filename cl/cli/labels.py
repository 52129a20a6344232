"""The command `cl labels`, and how labels are renamed, merged, split, retired and restored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cl.cli.options import json_option, project_option, show

if TYPE_CHECKING:
    from cl.revision.plan_labels import WantedChange

why_option = click.option("--why", required=True, help="Reason, kept on record.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only report how many rows would change.")


@click.group(invoke_without_command=True)
@project_option
@json_option
@click.pass_context
def labels(context: click.Context, project: Path, as_json: bool) -> None:
    """List the labels with their rows, or change them: rename, merge, split, retire.

    A change holds from then on: for the data, the champion, its stored rows, its drift reference and its gates, and for
    rows that still come in under a former label. Versions that answer former labels are withdrawn. If killed, run it
    again: it resumes.
    """
    from cl.commands.labels import list_labels
    from cl.reports.terminal.labels import label_lines

    context.default_map = {name: {"project": project, "as_json": as_json} for name in labels.commands}
    if context.invoked_subcommand is None:
        listed = list_labels(project)
        show(as_json, listed, "\n".join(label_lines(listed)))


@labels.command(short_help="Give a label another name")
@click.argument("old")
@click.argument("new")
@why_option
@dry_run_option
@project_option
@json_option
def rename(old: str, new: str, why: str, dry_run: bool, project: Path, as_json: bool) -> None:
    """Call OLD from now on NEW; the champion's answers stay the same but for the name."""
    from cl.revision.plan_labels import WantedChange

    _change(WantedChange(kind="rename", labels=[old], into=[new], why=why), project, as_json, dry_run=dry_run)


@labels.command(short_help="Make one label of several")
@click.argument("merged", nargs=-1, required=True, metavar="LABEL...")
@click.option("--into", required=True, metavar="LABEL", help="The label in their place: one of them, or another.")
@why_option
@dry_run_option
@project_option
@json_option
def merge(merged: tuple[str, ...], into: str, why: str, dry_run: bool, project: Path, as_json: bool) -> None:
    """Make one label of several."""
    from cl.revision.plan_labels import WantedChange

    _change(WantedChange(kind="merge", labels=list(merged), into=[into], why=why), project, as_json, dry_run=dry_run)


@labels.command(short_help="Make several labels of one, row by row")
@click.argument("label")
@click.option(
    "--by",
    "by_file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A table with the label column and the id or text column of cl.yaml: the new label of each row.",
)
@click.option("--rest", metavar="LABEL", help="The label of rows that FILE does not name.")
@why_option
@dry_run_option
@project_option
@json_option
def split(label: str, by_file: Path, rest: str | None, why: str, dry_run: bool, project: Path, as_json: bool) -> None:
    """Make several labels of LABEL, row by row."""
    from cl.revision.plan_labels import WantedChange

    wanted = WantedChange(kind="split", labels=[label], by_file=by_file, rest=rest, why=why)
    _change(wanted, project, as_json, dry_run=dry_run)


@labels.command(short_help="Answer a label no more")
@click.argument("label")
@why_option
@dry_run_option
@project_option
@json_option
def retire(label: str, why: str, dry_run: bool, project: Path, as_json: bool) -> None:
    """Answer LABEL no more, and leave out its rows; entities of a retired type are entities no longer."""
    from cl.revision.plan_labels import WantedChange

    _change(WantedChange(kind="retire", labels=[label], why=why), project, as_json, dry_run=dry_run)


@labels.command(short_help="Take rows of a former label again")
@click.argument("label")
@why_option
@project_option
@json_option
def restore(label: str, why: str, project: Path, as_json: bool) -> None:
    """Take rows of a LABEL that was retired or split again; its earlier rows have to be ingested once more."""
    from cl.revision.plan_labels import WantedChange

    _change(WantedChange(kind="restore", labels=[], into=[label], why=why), project, as_json, dry_run=False)


def _change(wanted: WantedChange, project: Path, as_json: bool, *, dry_run: bool) -> None:
    from cl.commands.labels import change_labels
    from cl.reports.terminal.labels import change_lines

    done = change_labels(project, wanted, dry_run=dry_run)
    show(as_json, done, "\n".join(change_lines(done)))
