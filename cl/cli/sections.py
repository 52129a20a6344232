"""The help of the whole command line: its commands under headings."""

from __future__ import annotations

from typing import Any

import click

from cl.cli.interrupts import StoppableGroup


class SectionedGroup(StoppableGroup):
    """A group that lists its commands under the headings in `sections`, in their order."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sections: dict[str, list[str]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a heading for each section, and a line for each of its commands."""
        width = max(len(name) for names in self.sections.values() for name in names)
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{width}}", self.commands[name].get_short_help_str()) for name in names])
