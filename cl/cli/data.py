"""The commands for rows and answers: `cl ingest`, `cl predict`, `cl label`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cl.cli.options import json_option, project_option, set_option, show

if TYPE_CHECKING:
    from cl.ingestion.seen_texts import SeenText
    from cl.records import Experience

NOTHING = "nothing new"


@click.command()
@click.argument("path", required=False)
@click.option(
    "--from-serving",
    "served",
    is_flag=True,
    help="Ingest the predictions of `cl serve` that have labels now, instead of PATH.",
)
@click.option(
    "--corrections",
    is_flag=True,
    help="Rows with a known id, or a known text, and another text or label replace the earlier rows.",
)
@set_option
@project_option
@json_option
def ingest(path: str | None, served: bool, corrections: bool, project: Path, as_json: bool) -> None:
    """Read labelled rows from PATH into new experiences, and version them with DVC.

    PATH is a file (CSV, Excel, JSON, Parquet, an export of an annotation tool, ...), a folder, or `sql` for the source
    in cl.yaml. Rows seen before are dropped. Invalid rows go to data/quarantine with the reason; to mend them: cl
    quarantine export FILE, change it, cl ingest FILE.
    """
    from cl.commands.ingest import ingest_path, ingest_served
    from cl.ingestion.seen_texts import LeftOut

    if served == (path is not None):
        raise click.UsageError("give either PATH or --from-serving")
    if path is None:
        text = "nothing new: every label that can be used is in an experience or was set aside"
        _print_ingested(as_json, project, ingest_served(project, take_corrections=corrections), nothing=text)
        return
    skipped = LeftOut()
    made = ingest_path(project, path, take_corrections=corrections, skipped=skipped)
    rows = ", ".join(f"{count} {why}" for why, count in skipped.items())
    _print_ingested(as_json, project, made, seen=skipped.texts, nothing=f"nothing new: {rows}" if rows else NOTHING)


def _print_ingested(
    as_json: bool,
    project: Path,
    experiences: list[Experience],
    *,
    seen: Sequence[SeenText] = (),
    nothing: str = NOTHING,
) -> None:
    from cl.commands.quarantine import describe_ingested
    from cl.reports.terminal.quarantine import ingest_lines, seen_lines

    ingested = describe_ingested(project, experiences)
    texts = [{"id": text.id, "experience": text.experience} for text in seen]
    for entry in ingested[-1:]:
        entry["seen_texts"] = texts
    show(
        as_json,
        ingested,
        "\n".join([*(ingest_lines(ingested) or [nothing]), *seen_lines(texts, in_json=bool(ingested))]),
    )


@click.command()
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option(
    "--from", "path", metavar="PATH", help="Answer the rows of a file or folder instead, and log the answers."
)
@click.option("--out", type=click.Path(path_type=Path), help="With --from: also write the answers to this CSV file.")
@set_option
@project_option
@json_option
def predict(texts: tuple[str, ...], path: str | None, out: Path | None, project: Path, as_json: bool) -> None:
    """Answer each TEXT, or each row of a file, with the champion.

    A text that is unlike what the champion has learned is marked as out of scope. A server of this project that runs
    on this machine is asked instead of loading the champion. For token
    classification, a TEXT is split into words at spaces. Where `pipeline.tagger` names a version that finds spans, a
    bare TEXT gets the relations in it. Rows need an id and the input, but no label; when labels arrive, `cl label`
    joins them to the logged answers.
    """
    if bool(texts) == bool(path):
        raise click.UsageError("give either TEXT... or --from PATH")
    if path:
        from cl.commands.predict import predict_file

        done = predict_file(project, path, out)
        summary = (
            f"{done['answered']} rows answered by version {done['version']}, {done['skipped']} without id or input"
        )
        summary += f", {done['out_of_scope']} out of scope" if done["out_of_scope"] else ""
        show(as_json, done, summary)
        return
    answers = _answer(project, list(texts))
    show(as_json, answers, "\n".join(map(_relation_lines if "tagger" in answers[0] else _answer_line, answers)))


def _relation_lines(answer: dict[str, Any]) -> str:
    """Return a text with the relations in it, and the versions that found them."""
    lines = [answer["text"]]
    for relation in answer["relations"]:
        head, tail = (f"{relation[end]['text']} ({relation[end]['type']})" for end in ("head", "tail"))
        lines.append(f"    {relation['relation']}  {relation['confidence']:.2f}  {head} -> {tail}")
    return "\n".join([*lines, f"    version {answer['version']}, spans of {answer['tagger']}"])


def _answer_line(answer: dict[str, Any]) -> str:
    outside = "  (out of scope: unlike what the champion has learned)" if answer["out_of_scope"] else ""
    return f"{answer['prediction']}  {answer['confidence']:.2f}  {answer['text']}{outside}"


def _answer(project: Path, texts: list[str]) -> list[dict[str, Any]]:
    """Ask the project's running server, or load the champion here."""
    from cl.commands.ask_server import ask_server

    served = ask_server(project, texts)
    if served is not None:
        click.echo(f"answered by the server at {served.url}", err=True)
        return served.answers
    from cl.commands.predict import predict_texts  # it imports what computes

    return predict_texts(project, texts)


@click.command()
@click.argument("path")
@click.option("--corrections", is_flag=True, help="Labels that contradict an earlier row replace it.")
@set_option
@project_option
@json_option
def label(path: str, corrections: bool, project: Path, as_json: bool) -> None:
    """Join the labels in PATH to answers logged by `cl predict --from`; the rows become an experience.

    PATH has the columns id and label (or those configured in cl.yaml). Labels may come late, twice or never.
    """
    from cl.commands.label import label_path

    _print_ingested(as_json, project, label_path(project, path, take_corrections=corrections))
