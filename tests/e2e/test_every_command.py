"""What holds for every command: an error is one line of bounded length, whatever was given, and shows no secret."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest

from cl.cli.main import cl, main
from cl.redaction import LONGEST_LINE
from tests.support.repository import ROOT
from tests.support.stages import without_stages

GIANT = "x" * 50_000
URL = "postgresql://me:s3cr@et-hunter2@db.example/cl"


def ended(*arguments: str) -> tuple[int, str]:
    """Run a command in this process and return its exit code and what it says on standard error."""
    err, environment = io.StringIO(), dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(err):
        patch.setattr(sys, "argv", ["cl", *arguments])
        try:
            with pytest.raises(SystemExit) as end:
                main()
        finally:
            os.environ.clear()
            os.environ.update(environment)
    assert isinstance(end.value.code, int)
    return end.value.code, err.getvalue()


def calls(command: click.Command, value: str, folder: Path) -> list[list[str]]:
    """Return one call for each parameter that takes a value, in a folder without a project."""
    takes = [one for one in command.params if not (isinstance(one, click.Option) and one.is_flag)]
    made = []
    for chosen in takes:
        words = [str(command.name)]
        for other in takes:
            given = value if other is chosen else str(folder) if other.name == "project" else "1"
            if other is chosen or other.required or other.name == "project":
                words += [given] if isinstance(other, click.Argument) else [other.opts[0], given]
        made.append(words)
    return made


@pytest.mark.parametrize("name", sorted(cl.commands))
def test_whatever_is_given_to_a_command_its_error_is_one_bounded_line(name, tmp_path) -> None:
    for words in [[name, f"--{GIANT}"], *calls(cl.commands[name], GIANT, tmp_path)]:
        code, said = ended(*words)
        assert code in (1, 2), words[:2]
        (line,) = without_stages(said)
        assert line.startswith("cl: ") and len(line) <= LONGEST_LINE + len("cl: "), f"{words[0]}: {line[:200]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(cl.commands))
def test_a_password_that_is_given_to_a_command_is_in_no_error(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in calls(cl.commands[name], URL, tmp_path):
        code, said = ended(*words)
        assert code in (1, 2) and "et-hunter2" not in said and "s3cr" not in said, f"{words[0]}: {said}"


def test_errors_are_printed_in_one_place() -> None:
    places = [
        path.name
        for path in ROOT.glob("cl/cli/*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if 'f"cl: ' in line
    ]
    assert places == ["options.py"]


def test_without_a_command_the_help_is_shown() -> None:
    code, said = ended()
    assert code == 2 and "Usage: cl [OPTIONS] COMMAND" in said and "rollback" in said
