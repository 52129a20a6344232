from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cl.process.forks import CallTimeoutError, ForkServer, ForkServerLostError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked")
HOLDER = """
import os, signal, sys, time
from pathlib import Path
from cl.process.forks import ForkServer

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored

def work(folder):
    Path(folder, "begun").touch()
    time.sleep(600)

server = ForkServer(work)
print(server.pid, flush=True)
if sys.argv[2] == "call":
    server.call(Path(sys.argv[1]), Path(sys.argv[1], "errors"), 600)
time.sleep(600)
"""
count = 0


def work(folder: Path) -> None:
    """Do what the folder's name says."""
    global count
    count += 1
    (folder / "count").write_text(str(count))
    print("said on standard output")
    match folder.name:
        case "fail":
            raise ValueError("no such file")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            sys.exit(4)
        case "hang":
            time.sleep(600)


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(work)
    yield server
    server.close()
    assert not psutil.pid_exists(server.pid)


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir(exist_ok=True)
    return made


def test_each_call_sees_what_was_there_before_the_first_one(server, tmp_path, capfd) -> None:
    for _ in range(2):
        assert server.call(folder(tmp_path, "work"), tmp_path / "errors", 60) == 0
        assert (tmp_path / "work" / "count").read_text() == "1"
    assert count == 0, "nothing is done in this process"
    assert capfd.readouterr() == ("", ""), "nor is anything said for it"


@pytest.mark.parametrize(
    ("name", "code", "last"),
    [("fail", 1, "ValueError: no such file"), ("die", -signal.SIGKILL, None), ("leave", 1, "SystemExit: 4")],
)
def test_a_call_that_fails_says_so_and_the_next_one_is_made(server, tmp_path, name, code, last) -> None:
    errors = tmp_path / "errors"
    assert server.call(folder(tmp_path, name), errors, 60) == code
    assert (errors.read_text().splitlines() or [None])[-1] == last
    assert server.call(folder(tmp_path, "work"), errors, 60) == 0


def test_a_call_that_takes_too_long_is_ended_and_the_next_one_is_made(server, tmp_path) -> None:
    with pytest.raises(CallTimeoutError):
        server.call(folder(tmp_path, "hang"), tmp_path / "errors", 0.5)
    assert psutil.Process(server.pid).children() == []
    assert server.call(folder(tmp_path, "work"), tmp_path / "errors", 60) == 0


def test_a_waiting_process_that_was_killed_is_noticed(server, tmp_path) -> None:
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ForkServerLostError):
        server.call(folder(tmp_path, "work"), tmp_path / "errors", 60)


@pytest.mark.parametrize("busy", ["wait", "call"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent_whatever_it_does(tmp_path, busy, number) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), busy]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    waiting = psutil.Process(int(parent.stdout.readline()))
    while busy == "call" and not (tmp_path / "begun").exists():
        time.sleep(0.05)
    processes = [waiting, *waiting.children()]
    parent.send_signal(number)
    parent.wait(60)
    _, alive = psutil.wait_procs(processes, timeout=60)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert alive == []


def test_a_process_with_threads_that_work_is_not_forked() -> None:
    code = (
        "import threading, time; from cl.process.forks import can_fork; print(can_fork());"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); print(can_fork())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "False"]
