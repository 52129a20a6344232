"""The commands about versions: compare, trace, reproduce, export and distil them, forget rows, free space."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cl.cli.options import FiniteRange, json_option, project_option, set_option, show
from cl.process.progress import stage


@click.command()
@click.argument("first", metavar="V1")
@click.argument("second", metavar="V2")
@project_option
@json_option
def diff(first: str, second: str, project: Path, as_json: bool) -> None:
    """Compare two versions: scores by experience and class, configuration, data, labels, size, packages.

    Scores are over the test rows that both versions have in common.
    """
    from cl.commands.diff import compare_versions
    from cl.reports.terminal.versions import diff_lines

    comparison = compare_versions(project, first, second)
    show(as_json, comparison, "\n".join(diff_lines(comparison)))


@click.command()
@click.argument("version")
@project_option
@json_option
def lineage(version: str, project: Path, as_json: bool) -> None:
    """Show the origin of VERSION: data, code, configuration, and its ancestors."""
    from cl.commands.lineage import trace_lineage
    from cl.reports.terminal.versions import lineage_lines

    ancestry = trace_lineage(project, version)
    show(as_json, ancestry, "\n".join(lineage_lines(ancestry)))


@click.command()
@click.option(
    "--where", required=True, metavar="CONDITION", help="Rows to forget: \"id == '17'\", \"label in ['a', 'b']\"."
)
@click.option("--why", default="", help="Reason, kept on record; it must not identify a person or a row.")
@click.option(
    "--everywhere", is_flag=True, help="Also from the DVC remote and the files of older versions; cannot be undone."
)
@click.option("--dry-run", is_flag=True, help="Only report how many rows match.")
@set_option
@project_option
@json_option
def forget(where: str, why: str, everywhere: bool, dry_run: bool, project: Path, as_json: bool) -> None:
    """Remove rows from the data, from the champion's stored rows, and from the model or its next update.

    CONDITION compares the columns id, text or tokens, label or tags, date, experience and split with strings. A
    closed-form champion is solved again without the rows, exactly; a trained one is marked, and the next update starts
    from the last version that never saw them. If killed, run it again: it resumes.
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
    """Train VERSION again from its parent, data, configuration and seed, in a separate folder, and compare.

    Exit code 0: weights and strategy state are bit-identical. 1: they differ; other differences are listed.
    """
    with stage("load libraries"):
        from cl.commands.reproduce import reproduce_version
    from cl.reports.terminal.versions import reproduce_lines

    reproduction = reproduce_version(project, version)
    show(as_json, reproduction.model_dump(mode="json"), "\n".join(reproduce_lines(reproduction.model_dump())))
    if not reproduction.identical:
        sys.exit(1)


@click.command()
@click.argument("version")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--merged", is_flag=True, help="A language model as a whole: its adapter merged into its base.")
@project_option
@json_option
def export(version: str, folder: Path, merged: bool, project: Path, as_json: bool) -> None:
    """Write VERSION to the new or empty folder DIR, for use without the registry: weights, tokenizer, labels.

    Training rows are left out. DIR/README.md says how to load it, also with transformers alone. Of a language model,
    DIR holds the adapter as peft lays one out, which needs its base; with --merged, the whole model.
    """
    from cl.commands.export import export_version
    from cl.reports.terminal.versions import export_lines

    done = export_version(project, version, folder, merged=merged)
    show(as_json, done, "\n".join(export_lines(done)))


@click.command()
@click.argument("version")
@click.option("--int8", is_flag=True, help="No student: quantise the encoder of VERSION to int8.")
@click.option("--onnx", is_flag=True, help="No student: run the encoder of VERSION with ONNX Runtime.")
@set_option
@project_option
@json_option
def distil(version: str, int8: bool, onnx: bool, project: Path, as_json: bool) -> None:
    """Compress VERSION into a cheaper one: a student trained on its answers, as `distil` in cl.yaml says.

    It is compared with the champion by all gates and becomes the challenger; `cl promote` makes it the champion. --int8
    and --onnx can be combined. Exit code 3: a gate refused it.
    """
    with stage("load libraries"):
        from cl.commands.distil import distil_version
    from cl.records import Form
    from cl.reports.terminal.cycles import distil_lines

    forms: dict[tuple[bool, bool], Form] = {
        (False, False): "student",
        (True, False): "int8",
        (False, True): "onnx",
        (True, True): "onnx-int8",
    }
    result = distil_version(project, version, form=forms[int8, onnx])
    show(as_json, result, "\n".join(distil_lines(result)))
    if not result["passed"]:
        sys.exit(3)


@click.command()
@click.option("--keep-last", type=click.IntRange(min=0), help="Instead of registry.keep_last.")
@click.option("--keep-days", type=FiniteRange(min=0), help="Instead of registry.keep_days.")
@click.option("--dry-run", is_flag=True, help="Only report what would be deleted.")
@set_option
@project_option
@json_option
def gc(keep_last: int | None, keep_days: float | None, dry_run: bool, project: Path, as_json: bool) -> None:
    """Delete the files of versions that no rule keeps, and unused caches and journals of this machine.

    The champion, the target of `cl rollback` and versions with an alias keep their files. Deleted versions stay on
    record: scores, lineage, verdicts. If killed, run it again: it resumes.
    """
    from cl.commands.gc import free_space
    from cl.reports.terminal.versions import gc_lines

    garbage = free_space(project, keep_last=keep_last, keep_days=keep_days, dry_run=dry_run)
    result = {**garbage.model_dump(mode="json"), "bytes": garbage.total, "dry_run": dry_run}
    show(as_json, result, "\n".join(gc_lines(result)))
