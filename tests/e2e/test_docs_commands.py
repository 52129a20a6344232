"""The commands and programs of the documentation that say that they run: each page's in a project of its own."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tests.support import warm
from tests.support.desk import new_desk
from tests.support.docs import PAGES, blocks
from tests.support.tiny import made_sentences

WITH_COMMANDS = [page for page in PAGES if blocks(page, "console")]
WITH_PROGRAMS = [page for page in PAGES if blocks(page, "python")]


def test_there_are_pages_whose_commands_run() -> None:
    assert len(WITH_COMMANDS) >= 3 and len(WITH_PROGRAMS) >= 3


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_in_their_order(page, tiny_model, tmp_path, monkeypatch) -> None:
    desk = new_desk(tmp_path / "project", tiny_model)
    made_sentences(["loan", "fee"], 60).to_csv(tmp_path / "tickets.csv", index=False)
    monkeypatch.chdir(tmp_path)
    for _, body in blocks(page, "console"):
        for line in body.splitlines():
            name, *arguments = shlex.split(line, comments=True) or ["#"]
            if name == "#":
                continue
            assert name in ("cl", "perennial"), line
            if "-p" not in arguments and "--project" not in arguments and arguments[0] not in ("init", "plugins"):
                needs_none = arguments[0].startswith("-") or arguments[:2] in (
                    ["config", "reference"],
                    ["config", "schema"],
                )
                arguments += [] if needs_none else ["-p", str(desk.project)]
            done = warm.run(*arguments)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=lambda page: page.stem)
def test_the_programs_of_a_page_run_as_one(page, tmp_path) -> None:
    program = "\n".join(body for _, body in blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
