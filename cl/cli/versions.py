"""The command line about versions: to compare, trace, reproduce, export, distil them; to forget rows, to free space."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cl.cli.options import json_option, project_option, show


@click.command()
@click.argument("one", metavar="V1")
@click.argument("other", metavar="V2")
@project_option
@json_option
def diff(one: str, other: str, project: Path, as_json: bool) -> None:
    """Compare two versions: scores by experience and class, configuration, data, labels, size, packages.

    Scores are over the test rows that both were tested on.
    """
    from cl.commands.diff import compare_versions
    from cl.reports.terminal.versions import diff_lines

    found = compare_versions(project, one, other)
    show(as_json, found, "\n".join(diff_lines(found)))


@click.command()
@click.argument("version")
@project_option
@json_option
def lineage(version: str, project: Path, as_json: bool) -> None:
    """Show what VERSION was made of and from: data, code, configuration, and its parents."""
    from cl.commands.lineage import trace_lineage
    from cl.reports.terminal.versions import lineage_lines

    found = trace_lineage(project, version)
    show(as_json, found, "\n".join(lineage_lines(found)))


@click.command()
@click.option(
    "--where", required=True, metavar="CONDITION", help="Which rows: \"id == '17'\", \"label in ['a', 'b']\"."
)
@click.option("--why", default="", help="The reason, kept in the record; name no person and no row in it.")
@click.option(
    "--everywhere", is_flag=True, help="From the DVC remote and from the files of older versions as well, for good."
)
@click.option("--dry-run", is_flag=True, help="Only say how many rows match.")
@project_option
@json_option
def forget(where: str, why: str, everywhere: bool, dry_run: bool, project: Path, as_json: bool) -> None:
    """Remove rows from the data, from what the champion keeps, and from the model itself or its next update.

    CONDITION compares the columns id, text or tokens, label or tags, date, experience and split with texts. A champion
    in closed form is solved again without the rows, exactly; one that was trained is marked, and the next update starts
    from the last version that never saw them. Killed, it goes on when it is run again.
    """
    from cl.commands.forget import forget_rows
    from cl.reports.terminal.versions import forget_lines

    done = forget_rows(project, where, why=why, everywhere=everywhere, dry_run=dry_run)
    show(as_json, done, "\n".join(forget_lines(done)))


@click.command()
@click.argument("version")
@project_option
@json_option
def reproduce(version: str, project: Path, as_json: bool) -> None:
    """Train VERSION again from its parent, data, configuration and seed, in a folder of its own, and compare.

    Exit code 0: weights and all that learning goes on from are the same to the bit. 1: they differ; it says what else
    does.
    """
    from cl.commands.reproduce import reproduce_version
    from cl.reports.terminal.versions import reproduce_lines

    found = reproduce_version(project, version)
    show(as_json, found.model_dump(mode="json"), "\n".join(reproduce_lines(found.model_dump())))
    if not found.identical:
        sys.exit(1)


@click.command()
@click.argument("version")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@project_option
@json_option
def export(version: str, folder: Path, project: Path, as_json: bool) -> None:
    """Write VERSION into the new or empty folder DIR, to be used without the registry: weights, tokenizer, labels.

    Rows that it learnt from are left out. DIR/README.md says how to load it, with transformers alone as well.
    """
    from cl.commands.export import export_version
    from cl.reports.terminal.versions import export_lines

    done = export_version(project, version, folder)
    show(as_json, done, "\n".join(export_lines(done)))


@click.command()
@click.argument("version")
@click.option("--int8", is_flag=True, help="No student: VERSION itself, the matrices of its encoder in eight bits.")
@click.option("--onnx", is_flag=True, help="No student: VERSION itself, its encoder computed by ONNX Runtime.")
@project_option
@json_option
def distil(version: str, int8: bool, onnx: bool, project: Path, as_json: bool) -> None:
    """Make a cheaper version of VERSION: a student that learns what it answers, as `distil` in cl.yaml says.

    It is evaluated beside the champion and held against all gates, and becomes the challenger; `cl promote` makes it
    the champion. --int8 and --onnx go together. Exit code 3: a gate refuses it.
    """
    from cl.commands.distil import distil_version
    from cl.records import Form
    from cl.reports.terminal.cycles import distil_lines

    forms: dict[tuple[bool, bool], Form] = {
        (False, False): "student",
        (True, False): "int8",
        (False, True): "onnx",
        (True, True): "onnx-int8",
    }
    found = distil_version(project, version, form=forms[int8, onnx])
    show(as_json, found, "\n".join(distil_lines(found)))
    if not found["passed"]:
        sys.exit(3)


@click.command()
@click.option("--keep-last", type=click.IntRange(min=0), help="In place of registry.keep_last.")
@click.option("--keep-days", type=click.FloatRange(min=0), help="In place of registry.keep_days.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@project_option
@json_option
def gc(keep_last: int | None, keep_days: float | None, dry_run: bool, project: Path, as_json: bool) -> None:
    """Free the space of versions that no rule keeps, and of this machine's caches and journals of no use.

    The champion, the one that `cl rollback` goes to, and versions with an alias keep their files. What is removed stays
    on record: its scores, its lineage, its verdicts. Killed, it goes on when it is run again.
    """
    from cl.commands.gc import free_space
    from cl.reports.terminal.versions import gc_lines

    found = free_space(project, keep_last=keep_last, keep_days=keep_days, dry_run=dry_run)
    told = {**found.model_dump(mode="json"), "bytes": found.total, "dry_run": dry_run}
    show(as_json, told, "\n".join(gc_lines(told)))
