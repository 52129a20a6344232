"""The commands `cl config` and `cl plugins`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cl.cli.options import config_file, json_option, project_option, set_option, show, show_error
from cl.redaction import as_line

WIDEST = 60
"""Characters of a setting before its origin; a longer one moves only its own."""


@click.group()
def config() -> None:
    """Check and show the configuration: its faults, what counts and where it comes from, all keys, their schema."""


@config.command(short_help="Report every fault, with its remedy")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@set_option
@project_option
@json_option
def validate(file: Path | None, project: Path, as_json: bool) -> None:
    """Check FILE, by default the project's cl.yaml, and report every fault with its line, key and remedy.

    Exit code 0: it is valid. 2: it is not.
    """
    from cl.config.faults import check_file

    path = config_file(file, project)
    faults = check_file(path)
    if as_json:
        listed = [{**asdict(fault), "message": as_line(fault.message)} for fault in faults]
        show(True, {"file": str(path), "valid": not faults, "faults": listed}, "")
    for fault in [] if as_json else faults:
        show_error(fault.text)
    if faults:
        sys.exit(2)
    show(False, None, "" if as_json else f"{path}: valid")


@config.command("show", short_help="What counts, and where it comes from")
@click.option("--all", "every", is_flag=True, help="Also show the keys that are at their default.")
@set_option
@project_option
@json_option
def show_settings(every: bool, project: Path, as_json: bool) -> None:
    """Show the settings that count, and where each comes from: cl.yaml with the line, --set, CL_SET, or the default.

    Without --all, only what is given or differs from the default. Secrets are not shown.
    """
    from cl.commands.config import list_settings

    entries = list_settings(config_file(None, project), every=every)
    show(as_json, entries, "\n".join(_setting_lines(entries)) or "every key is at its default; --all shows them")


def _setting_lines(entries: list[dict[str, Any]]) -> list[str]:
    texts = [f"{entry['key']}: {json.dumps(entry['value'], ensure_ascii=False)}" for entry in entries]
    width = min(WIDEST, max(map(len, texts), default=0))
    origins = [f"{entry['from']}:{entry['line']}" if entry["line"] else entry["from"] for entry in entries]
    return [f"{text:<{width}}  # {origin}" for text, origin in zip(texts, origins, strict=True)]


@config.command(short_help="All keys, as Markdown")
def reference() -> None:
    """Print the reference of every key of cl.yaml, as Markdown."""
    from cl.reports.config_reference import configuration_reference

    click.echo(configuration_reference())


@config.command(short_help="JSON schema of cl.yaml, for editors")
def schema() -> None:
    """Print the JSON schema of cl.yaml, which lets editors complete and check keys.

    \b
    cl config schema > cl.schema.json
    # then, in the first line of cl.yaml:
    # yaml-language-server: $schema=cl.schema.json
    """
    from cl.reports.config_reference import configuration_schema

    click.echo(json.dumps(configuration_schema(), indent=1))


@click.command()
@click.option("--kind", help="Only this kind, such as gates.")
@json_option
def plugins(kind: str | None, as_json: bool) -> None:
    """List the available plug-ins, and the package that each comes from."""
    from cl.commands.plugins import list_plugins

    entries = list_plugins(kind)
    width = max(len(plugin["name"]) for plugin in entries)
    text = "\n".join(
        f"{plugin['kind']:<11}{plugin['name']:<{width + 2}}{plugin['from']:<20}{plugin['summary']}"
        for plugin in entries
    )
    show(as_json, entries, text)
