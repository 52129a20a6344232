"""What several workers tell together, when one of them is behind, or has died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

WORKER = """
import json, sys
from cl.serving.prometheus import Metrics
metrics = Metrics()
for line in sys.stdin:
    told = json.loads(line)
    metrics.hold(told["roles"], told["given_up"])
    metrics.rows.labels("1", "champion").inc(told["rows"])
    metrics.waiting.set(told["rows"])
    print(json.dumps(metrics.text().decode()), flush=True)
"""


class Worker:
    """A process that counts as a worker of the server does."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def says(self, champion: str, rows: int = 0, given_up: tuple[str, ...] = ()) -> dict[str, float]:
        """Let it tell its champion and count rows; return all samples, as it reads them from every worker."""
        assert self.process.stdin and self.process.stdout
        told = {"roles": {"champion": champion}, "rows": rows, "given_up": given_up}
        print(json.dumps(told), file=self.process.stdin, flush=True)
        lines = json.loads(self.process.stdout.readline()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith("cl_")}


@pytest.fixture
def worker(tmp_path) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker({**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def champions(samples: dict[str, float]) -> set[str]:
    start = 'cl_version_role{role="champion",version="'
    return {name.removeprefix(start)[0] for name, value in samples.items() if name.startswith(start) and value}


def test_a_role_is_told_for_as_long_as_some_worker_gives_it(worker) -> None:
    first, second = worker(), worker()
    first.says("1")
    assert champions(second.says("1")) == {"1"}
    assert champions(first.says("2")) == {"1", "2"}, "the second is behind"
    assert champions(second.says("2")) == {"2"}
    assert champions(first.says("1")) == {"1", "2"}


def test_a_canary_that_is_tried_again_is_told_so(worker) -> None:
    one, name = worker(), 'cl_canary_given_up{version="3"}'
    assert one.says("1", given_up=("3",))[name] == 1
    assert one.says("1")[name] == 0


def test_a_worker_that_died_leaves_its_counts_and_nothing_else(worker) -> None:
    first, second = worker(), worker()
    first.says("1", rows=5)
    samples = second.says("2", rows=2)
    assert champions(samples) == {"1", "2"} and samples["cl_queue_rows"] == 7
    first.process.kill()
    first.process.wait()
    samples = second.says("2", rows=2)
    assert champions(samples) == {"2"} and samples["cl_queue_rows"] == 2
    assert samples['cl_rows_total{role="champion",version="1"}'] == 9
