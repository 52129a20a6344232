"""A server that is asked to stop, that has two workers, or whose workers lose their parent."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from cl.serving.answering_routes import VERSION_HEADER
from cl.serving.graceful_shutdown import AGAIN_SECONDS
from tests.support.servers import until
from tests.support.serving_shop import Server, Shop, made_shop, serving


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_model) -> Shop:
    """A project with two versions, of which the first serves."""
    serve = {"poll_seconds": 0.1, "drain_seconds": 5}
    shop = made_shop(tmp_path_factory.mktemp("stopping") / "shop", tiny_model, versions=(1, 2), serve=serve)
    shop.promote("1")
    return shop


@pytest.fixture(scope="module")
def twins(shop: Shop) -> Iterator[Server]:
    """Two workers on one port; the last test that asks for them kills their parent."""
    with serving(shop, "--workers", "2") as server:
        server.champion_is("1")
        yield server


def stopping(readiness: httpx.Response) -> httpx.Response | None:
    return readiness if readiness.json()["why"] == "stopping" else None


def workers_of(server: Server) -> list[psutil.Process]:
    family = psutil.Process(server.process.pid).children()
    return [process for process in family if any("multiprocessing-fork" in word for word in process.cmdline())]


@pytest.mark.parametrize(
    ("workers", "to_all"), [(1, False), (1, True), pytest.param(2, False, marks=pytest.mark.nightly)]
)
def test_sigterm_drops_no_request_and_says_first_that_it_is_not_ready(shop: Shop, workers, to_all) -> None:
    """A service manager may send the signal to the parent alone, or to its workers as well."""
    with serving(shop, "--workers", str(workers)) as server:
        server.champion_is("1")
        assert server.ready()["champion"] == "1", "it takes no request before its champion is loaded"
        answers: list[httpx.Response] = []
        broken: list[Exception] = []

        def ask() -> None:
            with server.client() as client:
                while not answers or answers[-1].headers.get("Connection") != "close":  # then it goes elsewhere
                    try:
                        answers.append(client.post("/predict", json={"texts": ["my card is lost"] * 5}))
                    except httpx.HTTPError as error:
                        broken.append(error)
                        return

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 20, seconds=60)
        with server.client() as watcher:
            watcher.get("/readyz")
            for worker in workers_of(server) if to_all else []:
                worker.terminate()
            server.process.send_signal(signal.SIGTERM)
            readiness = until(lambda: stopping(watcher.get("/readyz")), seconds=60, what="a server that is not ready")
        assert readiness.status_code == 503 and readiness.headers["Connection"] == "close"
        assert server.process.wait(60) in (0, -signal.SIGTERM)
        for thread in threads:
            thread.join()
    assert not broken
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.headers[VERSION_HEADER] == "1" for answer in answers)


def test_a_second_sigterm_ends_the_drain_time(shop: Shop) -> None:
    before = shop.project.config.read_text()
    shop.configure(poll_seconds=0.1, drain_seconds=3_600)
    try:
        with serving(shop, "--workers", "1") as server, server.client() as watcher:
            watcher.get("/readyz")
            server.process.send_signal(signal.SIGTERM)
            until(lambda: stopping(watcher.get("/readyz")), seconds=60, what="a server that is not ready")
            time.sleep(2 * AGAIN_SECONDS)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(60) == 0
    finally:
        shop.project.config.write_text(before)


@pytest.mark.nightly
@pytest.mark.parametrize("stuck", [signal.SIGSTOP, signal.SIGKILL])
def test_a_worker_that_is_stuck_or_killed_is_replaced_while_the_other_answers(shop: Shop, stuck) -> None:
    with serving(shop, "--workers", "2") as server:
        answering = set[int]()

        def both_answer() -> bool:
            with server.client() as client:
                answering.add(client.get("/live").json()["worker"])
            return len(answering) == 2

        until(both_answer, seconds=120, what="an answer of each worker")
        first, second = workers_of(server)
        first.send_signal(stuck)
        until(lambda: not first.is_running(), seconds=120, what="the end of the worker")
        until(lambda: len(workers_of(server)) == 2, seconds=120, what="another worker")
        assert second.is_running() and f"worker {first.pid}" in server.log()
        until(server.answers, seconds=60, what="an answer")


def test_a_worker_that_is_stuck_does_not_keep_the_server_from_ending(shop: Shop) -> None:
    with serving(shop, "--workers", "1") as server:
        (worker,) = workers_of(server)
        worker.suspend()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0
        assert not worker.is_running()


def test_two_workers_share_the_port_and_both_follow(twins: Server) -> None:
    versions: list[str] = []

    def answered() -> set[int | str]:
        """Ask again and again, each time on another connection, so that either may take it."""
        found = set[int | str]()
        for _ in range(40):
            with twins.client() as client:
                answer = client.post("/predict", json={"text": "my card"})
            assert answer.status_code in (200, 503), "another worker may still be loading"
            if answer.status_code == 200:
                versions.append(answer.json()["version"])
            found.add(versions[-1] if answer.status_code == 200 else 503)
        return found

    until(lambda: answered() == {"1"}, seconds=120, what="version 1 of both")
    twins.shop.promote("2")
    until(lambda: answered() == {"2"}, seconds=120, what="version 2 of both")
    assert set(versions) == {"1", "2"}
    with twins.client() as client:
        metrics = client.get("/metrics").text.splitlines()
    assert sum(float(line.split()[-1]) for line in metrics if line.startswith("cl_rows_total")) == len(versions)
    roles = {line.split()[0]: float(line.split()[1]) for line in metrics if line.startswith("cl_version_role{")}
    assert {name: value for name, value in roles.items() if value} == {
        'cl_version_role{role="champion",version="2"}': 1.0
    }


def test_workers_whose_parent_is_killed_give_the_port_back(twins: Server) -> None:
    assert twins.answers()
    twins.process.kill()
    until(lambda: not twins.answers(), seconds=60, what="a port that is free")
