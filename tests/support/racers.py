"""Four processes that begin at one moment, and what each of them prints."""

from __future__ import annotations

import subprocess
import sys

NAMES = "abcd"
ROUNDS = 100


def race(code: str, *arguments: str, seconds: int = 300) -> dict[str, tuple[int, int]]:
    """Run a program once for each name and return how many rounds each has won, and how many moves it has lost.

    Args:
        code: prints "ready", begins when it has read a line, and prints both numbers in the end.
        arguments: follow the name.
        seconds: after which the race has failed.
    """
    racers = {
        name: subprocess.Popen(
            [sys.executable, "-c", code, name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in NAMES
    }
    try:
        for racer in racers.values():
            assert racer.stdout is not None and racer.stdin is not None
            if racer.stdout.readline() != "ready\n":
                raise AssertionError(racer.communicate()[1])
        for racer in racers.values():
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        ends = {}
        for name, racer in racers.items():
            out, errors = racer.communicate(timeout=seconds)
            assert racer.returncode == 0, errors
            won, lost = out.split()
            ends[name] = (int(won), int(lost))
        return ends
    finally:
        for racer in racers.values():
            racer.kill()
