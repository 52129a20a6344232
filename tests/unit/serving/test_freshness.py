"""Which version may answer a question, when the champion moves while it is computed."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from cl.serving.freshness import AliasReader, FreshnessGuard


@dataclass
class Registered:
    """An alias that a test moves; a look takes ``seconds`` and reads it at its end."""

    champion: str | None = "1"
    seconds: float = 0.0
    trouble: Exception | None = None
    looks: int = 0

    def look(self) -> str | None:
        self.looks += 1
        time.sleep(self.seconds)
        if self.trouble is not None:
            raise self.trouble
        return self.champion


@dataclass
class Loads:
    """Stands where the follower does: a version takes over some time after it was woken, or cannot be loaded."""

    roles: Any = field(default_factory=lambda: SimpleNamespace(champion=SimpleNamespace(version="1")))
    failed: dict[str, str] = field(default_factory=dict)
    then: Callable[[Loads], None] = lambda loads: None
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1
        threading.Timer(0.05, self.then, [self]).start()


def takes_over(version: str) -> Callable[[Loads], None]:
    def load(loads: Loads) -> None:
        loads.roles = SimpleNamespace(champion=SimpleNamespace(version=version))

    return load


def asked(registered: Registered, loads: Loads, ask: Callable[[FreshnessGuard], Any], seconds: float = 1.0) -> Any:
    async def main() -> Any:
        witness = AliasReader(registered.look, seconds)
        try:
            return await ask(FreshnessGuard(witness, loads))  # type: ignore[arg-type]
        finally:
            witness.close()

    return asyncio.run(main())


def test_a_version_that_is_seen_as_champion_after_the_question_may_answer_it() -> None:
    registered, loads = Registered(), Loads()
    assert asked(registered, loads, lambda timely: timely.until("1", time.monotonic())) == math.inf
    assert (registered.looks, loads.woken) == (1, 0)


def test_all_who_ask_in_the_meantime_share_a_look() -> None:
    registered = Registered(seconds=0.1)

    async def ask(timely: FreshnessGuard) -> list[float]:
        now = time.monotonic()
        first = await asyncio.gather(*(timely.until("1", now) for _ in range(50)))
        return [*first, await timely.until("1", now)]

    assert asked(registered, Loads(), ask) == [math.inf] * 51 and registered.looks == 1


def test_a_look_that_began_before_the_question_is_not_enough() -> None:
    registered = Registered(seconds=0.1)

    async def ask(timely: FreshnessGuard) -> float:
        early = asyncio.ensure_future(timely.until("1", time.monotonic()))
        await asyncio.sleep(0.05)
        late = await timely.until("1", time.monotonic())
        await early
        return late

    assert asked(registered, Loads(), ask) == math.inf and registered.looks == 2


def test_when_the_champion_has_moved_the_next_one_is_waited_for_and_answers_what_came_later() -> None:
    registered, loads = Registered(), Loads(then=takes_over("2"))

    async def ask(timely: FreshnessGuard) -> tuple[float, float, float]:
        before = time.monotonic()
        assert await timely.until("1", before) == math.inf
        registered.champion = "2"
        after = time.monotonic()
        return before, await timely.until("1", after), after

    before, until, after = asked(registered, loads, ask)
    assert before <= until < after, "what was asked before the move may be answered by version 1"
    assert loads.roles.champion.version == "2" and loads.woken == 1


def test_a_champion_that_moves_on_while_it_is_waited_for_keeps_nobody_waiting() -> None:
    registered, loads = Registered(champion="2"), Loads(then=takes_over("3"))

    async def ask(timely: FreshnessGuard) -> float:
        began = time.monotonic()
        assert await timely.until("1", began) < began
        return time.monotonic() - began

    assert asked(registered, loads, ask, seconds=20) < 10


def test_a_champion_that_comes_back_while_the_next_is_waited_for_answers() -> None:
    registered, loads = Registered(champion="2"), Loads()

    def back(loads: Loads) -> None:
        registered.champion = "1"

    loads.then = back

    async def ask(timely: FreshnessGuard) -> float:
        began = time.monotonic()
        assert await timely.until("1", began) == math.inf and timely._alias_reader.saw("1", began)
        return time.monotonic() - began

    assert asked(registered, loads, ask, seconds=20) < 10


def fails(loads: Loads) -> None:
    loads.failed["2"] = "damaged"


@pytest.mark.parametrize("then", [fails, lambda loads: None], ids=["cannot be loaded", "takes too long"])
def test_the_old_version_goes_on_where_the_next_one_does_not_come_and_is_waited_for_once(then) -> None:
    registered, loads = Registered(champion="2"), Loads(then=then)

    async def ask(timely: FreshnessGuard) -> float:
        assert await timely.until("1", time.monotonic()) == math.inf
        began = time.monotonic()
        assert await timely.until("1", began) == math.inf
        return time.monotonic() - began

    assert asked(registered, loads, ask, seconds=0.3) < 0.25


def test_a_registry_that_is_down_or_slow_is_not_waited_for_until_it_answers_again() -> None:
    registered = Registered(trouble=OSError("down"))

    async def ask(timely: FreshnessGuard) -> None:
        for _ in range(3):
            assert await timely.until("1", time.monotonic()) == math.inf
        assert registered.looks == 1
        registered.trouble = None
        timely._alias_reader.answers_again()
        registered.seconds = 0.5
        began = time.monotonic()
        assert await timely.until("1", began) == math.inf
        assert time.monotonic() - began < 0.4 and timely._alias_reader.lost
        await asyncio.sleep(0.5)
        assert not timely._alias_reader.lost, "the look that was too slow has ended well"

    asked(registered, Loads(), ask, seconds=0.2)


def test_without_a_champion_or_without_a_bound_nothing_is_waited_for() -> None:
    registered = Registered(champion=None)
    assert asked(registered, Loads(), lambda timely: timely.until("1", time.monotonic())) == math.inf
    assert asked(registered, Loads(), lambda timely: timely.until("1", time.monotonic()), seconds=0) == math.inf
    assert registered.looks == 1
