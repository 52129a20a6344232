"""A command that is asked to stop, at any moment: one line, exit code 1, and no process that lives on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.desk import Desk, new_desk
from tests.support.servers import until
from tests.support.stages import without_stages
from tests.support.tiny import made_sentences

RUN = pytest.mark.parametrize(
    ("number", "group"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, False, id="kill"),
        pytest.param(signal.SIGTERM, True, id="timeout", marks=pytest.mark.nightly),
        pytest.param(signal.SIGHUP, True, id="terminal closed", marks=pytest.mark.nightly),
    ],
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Desk:
    """A project whose next update learns for minutes."""
    desk = new_desk(tmp_path_factory.mktemp("busy") / "project", tiny_model)
    rows = desk.project.parent / "rows.csv"
    made_sentences(["loan", "fee"], 300).to_csv(rows, index=False)
    assert desk.cl("ingest", str(rows)).returncode == 0
    training = {"epochs": 100_000, "patience": 100_000, "batch_size": 8, "precision": "float32"}
    desk.configure(ladder=[], strategy="replay", training=training)
    return desk


def hear_ctrl_c() -> None:
    """Undo what a shell does to what it runs in the background, perhaps these tests: it lets it ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Started:
    """A command in a session of its own, as a terminal gives it one."""

    def __init__(self, desk: Desk, home: Path, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        self.process = subprocess.Popen(
            desk.command(*arguments),
            env={**environment, "PREFECT_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )

    def others(self) -> list[psutil.Process]:
        """Return the other processes of its session."""
        alive = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == self.process.pid != process.pid and process.status() != "zombie":
                    alive.append(process)
        return alive

    def server(self) -> str | None:
        """Return the address of Prefect's temporary server, as soon as it is started."""
        for process in self.others():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "--port" in words:
                    return f"http://127.0.0.1:{words[words.index('--port') + 1]}/api/health"
        return None

    def answers(self) -> bool:
        """Tell whether that server answers."""
        address = self.server()
        with contextlib.suppress(httpx.HTTPError):
            return address is not None and httpx.get(address).status_code == 200
        return False

    def stop(self, number: signal.Signals, *, group: bool) -> str:
        """Ask it to stop, and return what it has said on standard error."""
        (os.killpg if group else os.kill)(self.process.pid, number)
        _, said = self.process.communicate(timeout=120)
        assert self.process.returncode == 1, said
        return said


@pytest.fixture
def start(busy: Desk, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start a command on the busy project; whatever is left of it at the end is killed."""
    made: list[Started] = []

    def begin(*arguments: str) -> Started:
        shutil.rmtree(busy.project / ".cl" / "cycles", ignore_errors=True)
        made.append(Started(busy, tmp_path / "prefect", *arguments))
        return made[-1]

    yield begin
    for started in made:
        for process in [*started.others(), started.process]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        started.process.communicate()


@RUN
def test_while_it_learns_without_prefect(start, busy, number, group) -> None:
    run = start("run", "--plain")
    until(lambda: list(busy.project.glob(".cl/cycles/*/decide.json")), seconds=120, what="a decision")
    assert run.stop(number, group=group).splitlines()[-1] == "cl: stopped"
    assert run.others() == []


@pytest.mark.nightly
@RUN
@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_while_prefects_temporary_server_is_still_starting(start, seconds, number, group) -> None:
    run = start("run")
    until(run.server, seconds=120, what="a server that starts")
    time.sleep(seconds)
    assert without_stages(run.stop(number, group=group)) == ["cl: stopped"]
    assert run.others() == []


@pytest.mark.nightly
@RUN
@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.0, 4.0, 10.0])
def test_at_any_moment_of_a_run_with_prefect(start, seconds, number, group) -> None:
    run = start("run")
    until(run.answers, seconds=120, what="a server that answers")
    time.sleep(seconds)
    assert run.stop(number, group=group).splitlines()[-1] == "cl: stopped"
    assert run.others() == []


STUBBORN = """
import os, subprocess, sys, time
import cl.commands.status

class Lost:
    def __del__(self):
        print("waits", flush=True)
        {inside}

def wait(folder):
    {start}
    lost = Lost()
    del lost
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

cl.commands.status.read_status = wait
import cl.cli.interrupts
cl.cli.interrupts.SECONDS_TO_STOP = 2
sys.argv = ["cl", "status"]
from cl.cli.main import main
from tests.support.stages import without_stages
main()
"""
CHILD = (
    "subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)'])"
)


@pytest.mark.parametrize(("inside", "begin"), [("time.sleep(60)", "pass"), ("pass", CHILD)], ids=["lost", "swallowed"])
def test_although_a_library_swallows_the_request_and_a_child_ignores_it(inside, begin) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN.format(inside=inside, start=begin)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "waits\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)  # ends when no child holds its output any more
    assert (process.returncode, said) == (1, "cl: stopped\n")
