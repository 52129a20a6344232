"""The server follows the registry: promotion, rollback, a version that cannot be loaded, no champion at all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from cl.promotion.outside import undo_changes
from tests.support.servers import until
from tests.support.serving_shop import Server


@contextmanager
def asking(server: Server, clients: int = 3) -> Iterator[list[httpx.Response]]:
    """Ask all the time, from several clients, and collect the answers."""
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        with server.client() as client:
            while not stop.is_set():
                answers.append(client.post("/predict", json={"text": "my card is lost"}))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def answered(client: httpx.Client) -> str:
    """Ask once and return the version that answered."""
    (version,) = versions([client.post("/predict", json={"text": "my card is lost"})])
    return version


def versions(answers: list[httpx.Response]) -> list[str]:
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["version"] for answer in answers]


def test_a_promotion_and_a_rollback_arrive_under_load_without_a_failed_request(moving: Server, client) -> None:
    with asking(moving) as answers:
        until(lambda: len(answers) > 20, seconds=30)
        moving.shop.promote("2")
        moving.champion_is("2")
        at = len(answers)
        until(lambda: len(answers) > at + 20, seconds=30)
        assert moving.shop.roll_back() == "1"
        moving.champion_is("1")
        after = len(answers)
        until(lambda: len(answers) > after + 20, seconds=30)
        for _ in range(3):  # nobody is answered by a version that was not champion any more when asked
            moving.shop.promote("2")
            assert answered(client) == "2"
            moving.shop.roll_back()
            assert answered(client) == "1"
        after = len(answers)
        until(lambda: len(answers) > after + 20, seconds=30)  # those that were asked before it have been answered
    told = versions(answers)
    assert set(told[:10]) == {"1"} and "2" in told and set(told[-5:]) == {"1"}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_answering(moving: Server, client) -> None:
    shop = moving.shop
    brought = shop.stores.champion_folder("4")
    whole = (brought / "head.safetensors").read_bytes()
    stored = [path for path in (shop.project.root / "mlflow").rglob("head.safetensors") if path.read_bytes() == whole]
    for path in stored:
        path.write_bytes(b"another file")
    shutil.rmtree(brought)
    with asking(moving, clients=1) as answers:
        shop.promote("4")
        until(lambda: "version 4 (champion) cannot be loaded" in moving.log(), seconds=30, what="an alarm")
        at = len(answers)
        until(lambda: len(answers) > at + 20, seconds=30)
    assert set(versions(answers)) == {"1"}
    assert moving.ready()["champion"] == "1" and moving.ready()["ready"] is True
    until(lambda: "cl_versions_not_loaded 1.0" in client.get("/metrics").text, seconds=10)
    told = "version 4, cannot be loaded; version 1 keeps answering"
    until(lambda: any(told in one["text"] for one in shop.notices.received), seconds=60, what="a notice")
    assert moving.log().count("cannot be loaded") == 1, "not tried again at every look"
    shop.roll_back()
    for path in stored:  # a move of the alias, and the next attempt is free: it is whole again
        path.write_bytes(whole)
    until(lambda: "cl_versions_not_loaded 0.0" in client.get("/metrics").text, seconds=10)
    shop.promote("4")
    moving.champion_is("4")


def test_without_a_champion_it_lives_and_waits_for_one(server: Server) -> None:
    statuses = {path: answer.status_code for path, answer in server.young.items()}
    assert statuses == {"/healthz": 200, "/readyz": 503, "/ping": 503, "/predict": 503}
    assert server.young["/predict"].headers["Retry-After"]
    assert server.young["/readyz"].json()["why"] == "no champion yet"
    assert server.ready()["ready"] is True


def test_an_alias_moved_by_hand_changes_no_answer_and_is_said_until_it_is_put_back(moving: Server, client) -> None:
    stores = moving.shop.stores
    assert moving.ready()["warning"] is None
    stores.registry.set_alias("champion", "2")
    assert [answered(client) for _ in range(3)] == ["1"] * 3
    until(lambda: moving.ready()["warning"], seconds=30, what="a warning")
    assert "cl audit --repair mlflow" in moving.ready()["warning"] and moving.ready()["ready"] is True
    until(lambda: "alias champion points to version 2" in moving.log(), seconds=30, what="a line in the log")
    assert [answered(client) for _ in range(3)] == ["1"] * 3 and moving.ready()["champion"] == "1"
    assert moving.log().count("alias champion points to version 2") == 1
    undo_changes(stores, why="nobody promoted it")
    until(lambda: moving.ready()["warning"] is None, seconds=30, what="no warning")
    assert answered(client) == "1"
    moving.shop.promote("2")
    assert answered(client) == "2", "what the ledger says is followed at once"
