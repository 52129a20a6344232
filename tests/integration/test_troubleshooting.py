"""The page on troubleshooting: each message that says that a test runs it is what the program says."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import resource
import shlex
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cl.commands.init import scaffold
from cl.stores.project_folder import ProjectFolder
from tests.support import warm
from tests.support.docs import DOCS
from tests.support.repository import ROOT
from tests.support.tiny import made_sentences, mlflow_database

pytestmark = pytest.mark.timeout(300)  # the first process that is started imports everything
PAGE = DOCS / "how-to" / "troubleshooting.md"
RUN = re.compile(
    r"<!-- a test runs(?: \((?P<condition>[^)]*)\))?: (?P<commands>.*?) -->\n```text\n(?P<message>.*?)\n```", re.DOTALL
)
QUICK = "drift: {report: 'off'}\nevaluation: {smoke_rows: 0, robustness: [], latency_calls: 3}\n"
FILES = {
    "empty.csv": "id,text,label\n",
    "columns.csv": "ticket,body,topic\n1,hello,fee\n",
    "latin.csv": "id,text,label\n1,Die Straße und Müller,fee\n2,was kostet das,fee\n3,naïve frage,loan\n",
    "numeric.csv": "id,text,label\n" + "".join(f"n{row},question number {row},{row % 3}\n" for row in range(30)),
    "twice.csv": "id,text,label\na1,where is it,fee\na2,where is it,loan\na3,please pay me,loan\na4,,loan\n",
    "broken.csv": "id,text,label\nb1,,fee\nb2,where is it,\n",
    "few.csv": "id,text,label\nw1,a message about a fee,fee\nw2,a message about a loan,loan\n",
}


@dataclass(frozen=True)
class Case:
    """One mistake of the page: its settings, its commands, and the message of the last one."""

    title: str
    settings: str
    condition: str
    commands: tuple[str, ...]
    message: str


def cases() -> Iterator[Case]:
    """Yield what the page says that a test runs."""
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        if match := RUN.search(section):
            settings = "".join(re.findall(r"```yaml\n(.*?)```", section[: match.start()], re.DOTALL))
            commands = tuple(match["commands"].split("; "))
            yield Case(section.partition("\n")[0], settings, match["condition"] or "", commands, match["message"])


CASES = list(cases())


def test_most_of_the_page_is_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(CASES) >= 20 and len(CASES) == text.count("<!-- a test runs")
    assert len(CASES) >= 0.6 * text.count("\n### ")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title.lower().replace(" ", "-"))
def test_the_page_quotes_what_the_program_says(case, home, tiny_model) -> None:
    model = "" if "model:" in case.settings else f"model: {{name: '{tiny_model}'}}\n"
    (home / "shop" / "cl.yaml").write_text(f"name: shop\n{case.settings}{model}{QUICK}")
    with condition_of(case.condition, home) as (break_process, replaced):
        for command in case.commands:
            said = run(command, replaced, break_process, home)
    for new, old in replaced.items():
        said = said.replace(old, new)
    said = said.replace(str(home), "/home/you")
    for line in case.message.splitlines():
        assert re.search(pattern(line), said, re.MULTILINE), f"{line}\n--- is not in\n{said}"


def test_a_message_that_the_program_does_not_say_is_noticed() -> None:
    assert re.search(pattern("cl: a (b) ... d"), "cl: a (b) c d\n", re.MULTILINE)
    assert not re.search(pattern("cl: a (b) ... d"), "cl: a (b) c e\n", re.MULTILINE)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A folder with the files of the page and a fresh project, `shop`."""
    monkeypatch.chdir(tmp_path)
    scaffold(tmp_path / "shop")
    (tmp_path / "shop" / "mlflow" / "mlflow.db").write_bytes(mlflow_database())
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="cp1252" if name == "latin.csv" else "utf-8")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("tickets.csv", FILES["few.csv"])
    tickets = made_sentences(["loan", "fee"], 60)
    tickets.to_csv(tmp_path / "tickets.csv", index=False)
    tickets.head(2).assign(label="parcel").to_csv(tmp_path / "relabelled.csv", index=False)
    wrong = made_sentences(["loan", "fee"], 60, prefix="w")
    wrong["label"] = wrong["label"].sample(frac=1, random_state=1).to_numpy()
    wrong.to_csv(tmp_path / "wrong.csv", index=False)
    return tmp_path


def run(command: str, replaced: dict[str, str], break_process: Callable[[], object], home: Path) -> str:
    """Run a command of the page to its end and return all that it prints."""
    words = [replaced.get(word, word) for word in shlex.split(command)]
    if words[0] == "make":
        made = subprocess.run([*words, f"VENV={home / 'venv'}"], cwd=ROOT, capture_output=True, text=True)
        return made.stdout + made.stderr
    before = functools.partial(prepare, str(home), dict(os.environ), break_process)
    ended = warm.start(home / "said", before, *words[1:]).end(120)
    return ended.out + ended.err


def prepare(folder: str, environment: dict[str, str], break_process: Callable[[], object]) -> None:
    """Give a process its folder and environment, and break what shall be broken in it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    break_process()


@contextlib.contextmanager
def condition_of(condition: str, home: Path) -> Iterator[tuple[Callable[[], object], dict[str, str]]]:
    """Bring about what the page says of a case.

    Yields:
        what breaks the process of a command, and the words of the page that are others in the test.
    """
    kind, _, value = condition.partition(" ")
    if condition == "while another cycle runs":
        with ProjectFolder(home / "shop").lock():
            yield warm.nothing, {}
    elif condition == "with port 8080 taken":
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield warm.nothing, {"8080": str(server.getsockname()[1])}
    elif condition == "with a full disk":
        yield functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY)), {}
    elif kind == "without":
        yield functools.partial(hide, value), {}
    elif kind == "with" and "=" in value:
        yield functools.partial(set_variable, *value.split("=", 1)), {}
    else:
        assert not condition, condition
        yield warm.nothing, {}


def hide(package: str) -> None:
    """Let a package be missing in this process."""
    sys.modules[package] = None


def pattern(line: str) -> str:
    """Return the expression of a line of the page, in which `...` is any text."""
    return "^" + ".*".join(re.escape(part) for part in line.split("...")) + "$"


def set_variable(name: str, value: str) -> None:
    """Set a variable of this process's environment."""
    os.environ[name] = value
