"""`cl --help` lists every command once, under a heading, with a line that is not cut."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from cl.cli.main import SECTIONS, cl

LONGEST = 45
GROUPS = [command for command in cl.commands.values() if isinstance(command, click.Group)]


def test_every_command_is_listed_once_under_a_heading() -> None:
    listed = [name for names in cl.sections.values() for name in names]
    assert list(cl.sections) == ["Start", "Look", "Decide", "Operate"]
    assert sorted(listed) == sorted(cl.commands) and len(set(listed)) == len(listed)
    text = CliRunner().invoke(cl, ["--help"]).output
    for heading, names in cl.sections.items():
        below = text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in below] == names


def test_no_description_in_the_help_is_cut() -> None:
    text = CliRunner().invoke(cl, ["--help"], terminal_width=80).output
    for summary in [summary for commands in SECTIONS.values() for summary in commands.values()]:
        assert len(summary) <= LONGEST and f"  {summary}\n" in text
    assert "..." not in text.partition("Start:")[2]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group.name))
def test_no_description_of_a_subcommand_is_cut(group) -> None:
    for command in group.commands.values():
        assert command.short_help and len(command.short_help) <= LONGEST, command.name
