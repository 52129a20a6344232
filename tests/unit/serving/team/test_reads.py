"""A slow project keeps only those waiting who ask for it."""

from __future__ import annotations

import asyncio
import threading
from typing import NoReturn

import pytest

from cl.errors import StoreError
from cl.serving.errors import RequestError
from cl.serving.team import reads
from cl.serving.team.reads import AT_ONCE, MOST_SLOW, ProjectReads


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "AGAIN_SECONDS", 0.01)


def test_a_slow_read_is_refused_for_now_and_its_result_is_given_later() -> None:
    opened, calls = threading.Event(), list[int]()

    def slow() -> str:
        calls.append(1)
        opened.wait(30)
        return "read"

    async def story() -> None:
        team = ProjectReads(seconds=0.05)
        for _ in range(2):
            with pytest.raises(RequestError) as refused:
                await team.read("shop", "overview", slow)
            assert refused.value.status == 503 and "still being read" in str(refused.value)
        waiting = asyncio.ensure_future(ProjectReads(seconds=30).read("shop", "overview", lambda: "another"))
        assert await waiting == "another"
        opened.set()
        while team._under_way:
            await asyncio.sleep(0.01)
        assert await team.read("shop", "overview", lambda: "new") == "new"

    asyncio.run(story())
    assert calls == [1], "the same read is under way once"


def test_many_slow_projects_leave_room_for_others() -> None:
    opened = threading.Event()

    async def story() -> None:
        team = ProjectReads(seconds=0.05)
        slow = [team.read(str(number), "overview", lambda: opened.wait(30)) for number in range(2 * AT_ONCE)]
        results = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(result, RequestError) for result in results)
        assert await team.read("quick", "overview", lambda: "read") == "read"
        opened.set()

    asyncio.run(story())


def test_a_slow_project_does_not_begin_more_and_more_reads() -> None:
    opened, begun = threading.Event(), list[int]()

    def slow(number: int) -> bool:
        begun.append(number)
        return opened.wait(30)

    async def story() -> None:
        team = ProjectReads(seconds=0.02)
        for number in range(3 * MOST_SLOW):
            with pytest.raises(RequestError):
                await team.read("shop", number, lambda number=number: slow(number))
        opened.set()

    asyncio.run(story())
    assert begun == list(range(MOST_SLOW))


def test_an_error_of_the_project_is_the_answer() -> None:
    def fail() -> NoReturn:
        raise StoreError("the ledger is gone")

    with pytest.raises(StoreError, match="the ledger is gone"):
        asyncio.run(ProjectReads().read("shop", "overview", fail))
