from __future__ import annotations

import signal
import threading

import httpx

from cl.serving.api import VERSION_HEADER
from tests.support.servers import until
from tests.support.serving_shop import Server, made_shop, serving


def stopping(readiness: httpx.Response) -> httpx.Response | None:
    return readiness if readiness.json()["why"] == "stopping" else None


def test_sigterm_drops_no_request_and_says_first_that_it_is_not_ready(server: Server) -> None:
    with serving(server.shop) as server:
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
        until(lambda: len(answers) > 20, seconds=30)
        with server.client() as watcher:
            watcher.get("/readyz")
            server.process.send_signal(signal.SIGTERM)
            readiness = until(lambda: stopping(watcher.get("/readyz")), seconds=5, what="a server that is not ready")
        assert readiness.status_code == 503 and readiness.headers["Connection"] == "close"
        assert server.process.wait(60) in (0, -signal.SIGTERM)
        for thread in threads:
            thread.join()
    assert not broken
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.headers[VERSION_HEADER] == "1" for answer in answers)


def test_two_workers_share_the_port_and_both_follow(tmp_path, tiny_model) -> None:
    shop = made_shop(tmp_path / "twins", tiny_model, serve={"poll_seconds": 0.1, "drain_seconds": 0.2, "workers": 2})
    shop.promote("1")
    with serving(shop) as server:

        def answered() -> set[str]:
            found = set()
            for _ in range(40):
                with server.client() as client:  # another connection, so that either may take it
                    answer = client.post("/predict", json={"text": "my card"})
                    assert answer.status_code == 200
                    found.add(answer.json()["version"])
            return found

        assert answered() == {"1"}
        shop.promote("2")
        assert answered() == {"2"}
        with server.client() as client:
            told = client.get("/metrics").text.splitlines()
        assert sum(float(line.split()[-1]) for line in told if line.startswith("cl_rows_total")) == 80
        roles = {line.split()[0]: float(line.split()[1]) for line in told if line.startswith("cl_version_role{")}
        assert {name: value for name, value in roles.items() if value} == {
            'cl_version_role{role="champion",version="2"}': 1.0
        }
    assert server.process.returncode in (0, -signal.SIGTERM)


def test_workers_whose_parent_is_killed_give_the_port_back(tmp_path, tiny_model) -> None:
    shop = made_shop(tmp_path / "orphans", tiny_model, serve={"drain_seconds": 0.2, "workers": 2})
    shop.promote("1")
    with serving(shop) as server:
        server.champion_is("1")
        server.process.kill()
        until(lambda: not server.answers(), seconds=30, what="a port that is free")
