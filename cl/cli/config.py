"""The commands about configuration: its keys, its JSON schema, and the available plug-ins."""

from __future__ import annotations

import json

import click

from cl.cli.options import json_option, show


@click.command("config-reference")
def config_reference() -> None:
    """Print the reference of every key of cl.yaml, as Markdown."""
    from cl.reports.config_reference import configuration_reference

    click.echo(configuration_reference())


@click.command("config-schema")
def config_schema() -> None:
    """Print the JSON schema of cl.yaml, which lets editors complete and check keys.

    \b
    cl config-schema > cl.schema.json
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
