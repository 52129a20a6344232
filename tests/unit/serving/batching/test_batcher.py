"""The queue by itself, with a version that counts what it is asked."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cl.config.serving import Batching
from cl.serving.batching.batcher import Batcher, InferenceError, QueueFullError
from cl.serving.batching.queue import PendingRequest, RequestQueue
from cl.serving.served_model import RowAnswer
from cl.serving.traffic_split import RequestAnswer, TrafficSplit
from cl.tasks import Encoded

LONG = "long" * 200


@dataclass(eq=False)
class Counting:
    """Stands where `Loaded` does: an answer is the text itself, and a text may be poison.

    With ``held`` its first batch takes until a test lets it go, so that what happens meanwhile is in no race with it.
    """

    version: str
    poison: str | None = None
    seconds: float = 0.0
    batches: list[list[str]] = field(default_factory=list)
    held: threading.Event | None = None

    def encode(self, values: list[str]) -> list[Encoded]:
        return [Encoded([1] * len(value), [-100], [0]) for value in values]

    def is_unpadded(self, encoded: list[Encoded]) -> bool:
        return False

    def answer(self, values: list[str], encoded: list[Encoded]) -> list[RowAnswer]:
        self.batches.append(values)
        time.sleep(self.seconds)
        if self.held is not None:
            assert self.held.wait(60)
        if self.poison in values:
            raise RuntimeError("poison")
        return [RowAnswer(value, 1.0, np.ones((1, 1)), None) for value in values]


def run(roles: TrafficSplit, ask: Any, **settings: Any) -> Any:
    async def main() -> Any:
        batcher = Batcher(lambda: roles, Batching(**settings), lambda rows: None)
        work = asyncio.ensure_future(batcher.run())
        try:
            return await ask(batcher)
        finally:
            work.cancel()
            batcher.close()

    return asyncio.run(main())


async def begun(champion: Counting) -> None:
    """Return when its first batch is computed."""
    while not champion.batches:
        await asyncio.sleep(0.001)


async def let_go(champion: Counting) -> None:
    """Let the batches end, once what was asked until now waits."""
    await asyncio.sleep(0)
    assert champion.held is not None
    champion.held.set()


def values(computed: RequestAnswer) -> list[str]:
    return [answer.value for answer in computed.answers]


def test_requests_that_come_while_a_batch_is_computed_go_together_by_length() -> None:
    champion = Counting("1", held=threading.Event())
    texts = [["a" * 5], ["b" * 6], ["c" * 300], ["d" * 5], ["e" * 310]]

    async def ask(batcher: Batcher) -> list[RequestAnswer]:
        first = asyncio.ensure_future(batcher.answer(["first"], "champion"))
        await begun(champion)
        rest = [asyncio.ensure_future(batcher.answer(text, "champion")) for text in texts]
        await let_go(champion)
        await first
        return list(await asyncio.gather(*rest))

    assert [values(one) for one in run(TrafficSplit(champion), ask, milliseconds=10_000)] == texts
    assert [sorted(batch) for batch in champion.batches] == [
        ["first"],
        ["aaaaa", "bbbbbb", "ddddd"],
        ["c" * 300, "e" * 310],
    ]


def test_a_row_that_cannot_be_answered_takes_only_its_own_request_along() -> None:
    champion = Counting("1", poison="bad")

    async def ask(batcher: Batcher) -> list[Any]:
        asked = [batcher.answer(texts, "champion") for texts in (["good", "fine"], ["bad"], ["well"])]
        return await asyncio.gather(*asked, return_exceptions=True)

    good, bad, well = run(TrafficSplit(champion), ask)
    assert values(good) == ["good", "fine"] and values(well) == ["well"]
    assert isinstance(bad, InferenceError)


def test_what_a_canary_cannot_answer_the_champion_does() -> None:
    champion, canary = Counting("1"), Counting("2", poison="bad")
    computed = run(TrafficSplit(champion, canary, 1.0), lambda batcher: batcher.answer(["good", "bad"], "canary"))
    assert values(computed) == ["good", "bad"]
    assert (computed.loaded.version, computed.role, computed.failed) == ("1", "champion", "2")


def test_one_request_is_answered_by_one_version_though_the_champion_changes_meanwhile() -> None:
    before, after = Counting("1", held=threading.Event()), Counting("2")
    reached = [TrafficSplit(before)]

    async def ask() -> tuple[RequestAnswer, RequestAnswer]:
        batcher = Batcher(lambda: reached[0], Batching(rows=2), lambda rows: None)
        work = asyncio.ensure_future(batcher.run())
        long = asyncio.ensure_future(batcher.answer(list("abcdef"), "champion"))
        await begun(before)
        reached[0] = TrafficSplit(after)
        last = asyncio.ensure_future(batcher.answer(["z"], "champion"))
        await let_go(before)
        short = await last
        whole = await long
        work.cancel()
        batcher.close()
        return whole, short

    whole, short = asyncio.run(ask())
    assert values(whole) == list("abcdef") and len(before.batches) >= 3
    assert (whole.loaded.version, short.loaded.version) == ("1", "2")


def test_a_request_with_one_text_does_not_wait_for_all_texts_of_another() -> None:
    champion = Counting("1", held=threading.Event())

    async def ask(batcher: Batcher) -> RequestAnswer:
        long = asyncio.ensure_future(batcher.answer([LONG] * 500, "champion"))
        await begun(champion)
        short = asyncio.ensure_future(batcher.answer(["short"], "champion"))
        await let_go(champion)
        await short
        return await long

    assert values(run(TrafficSplit(champion), ask, rows=4)) == [LONG] * 500
    answered = next(at for at, batch in enumerate(champion.batches) if "short" in batch)
    assert answered < len(champion.batches) - 1


def test_a_long_text_counts_for_more_than_a_short_one() -> None:
    job = PendingRequest([LONG] * 10, "champion", asyncio.new_event_loop().create_future())
    short = PendingRequest(["short"] * 10, "champion", job.future)
    pool = RequestQueue()
    pool.add(job, 0.0, 1_000.0)
    pool.add(short, 0.0, 1_000.0)
    assert [row.value for row in pool.rows[:12]] == [LONG, *["short"] * 10, LONG]


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    champion = Counting("1", seconds=0.05)

    async def ask(batcher: Batcher) -> list[Any]:
        asked = [batcher.answer(["a"] * 4, "champion") for _ in range(4)]
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = run(TrafficSplit(champion), ask, queue_rows=10)
    refused = [one for one in answers if isinstance(one, QueueFullError)]
    assert len(refused) == 2 and all(one.seconds >= 1 for one in refused)


@pytest.mark.parametrize("copies", [40, 600])
def test_copies_are_computed_when_nobody_waits_and_dropped_where_too_many_do(copies) -> None:
    batches: list[list[str]] = []
    champion, shadow = Counting("1", seconds=0.02, batches=batches), Counting("2", batches=batches)

    async def ask(batcher: Batcher) -> RequestAnswer | None:
        copy = asyncio.ensure_future(batcher.copy(["copy"] * copies, shadow))
        await asyncio.gather(*(batcher.answer([text], "champion") for text in "abc"))
        return await copy

    computed = run(TrafficSplit(champion), ask)
    assert computed is None if copies > 512 else values(computed) == ["copy"] * copies
    asked_last = max(at for at, batch in enumerate(batches) if batch[0] in "abc")
    assert not any("copy" in batch for batch in batches[:asked_last])


def test_what_was_asked_after_a_move_is_computed_again_by_the_next_champion() -> None:
    first, second = Counting("1", seconds=0.05), Counting("2")
    reached, moved = [TrafficSplit(first)], []

    async def until(version: str, asked: float) -> float:
        if version == "1" and moved and asked > moved[0]:
            reached[0] = TrafficSplit(second)
            return moved[0]
        return math.inf

    async def main() -> list[RequestAnswer]:
        batcher = Batcher(lambda: reached[0], Batching(), lambda rows: None, until)
        work = asyncio.ensure_future(batcher.run())
        early = asyncio.ensure_future(batcher.answer(["early"], "champion"))
        await asyncio.sleep(0.01)
        middle = asyncio.ensure_future(batcher.answer(["middle"], "champion"))
        await asyncio.sleep(0.01)
        moved.append(time.monotonic())
        late = asyncio.ensure_future(batcher.answer(["late", "later"], "champion"))
        answers = list(await asyncio.gather(early, middle, late))
        work.cancel()
        batcher.close()
        return answers

    answers = asyncio.run(main())
    assert [one.loaded.version for one in answers] == ["1", "1", "2"]
    assert [values(one) for one in answers] == [["early"], ["middle"], ["late", "later"]]
