"""Who is champion, seen after a question came: what makes an answer one of the champion's own time."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cl.serving.registry_watcher import RegistryWatcher

log = logging.getLogger(__name__)


class AliasReader:
    """Looks at the alias `champion` when somebody needs to know it, once for all who ask meanwhile.

    A version may answer a question if it was seen as champion by a look that began after the question came. The looks
    have a thread of their own, and run while a batch is computed. A registry that does not answer in time is not
    waited for again until it has answered.
    """

    def __init__(self, champion: Callable[[], str | None], seconds: float) -> None:
        self._ask, self.seconds = champion, seconds
        self._thread = ThreadPoolExecutor(1, "witness")
        self._flight: asyncio.Task[None] | None = None
        self._began = -1.0  # of the last look that has ended
        self._seen: dict[str, float] = {}
        self.champion: str | None = None
        self.lost = False

    def saw(self, version: str, moment: float) -> bool:
        """Tell whether a version was seen as champion by a look that began at a moment (monotonic seconds) or later."""
        return self.last_seen(version) >= moment

    def last_seen(self, version: str) -> float:
        """Return when the last look began that saw a version as champion, in monotonic seconds; -1: none has."""
        return self._seen.get(version, -1.0)

    async def look_after(self, moment: float) -> bool:
        """Return when a look that began at a moment or later has ended; False where none does in time."""
        if self.lost or not self.seconds:
            return False
        try:
            async with asyncio.timeout(self.seconds):
                while self._began < moment and not self.lost:
                    self._flight = self._flight or asyncio.ensure_future(self._look())
                    await asyncio.shield(self._flight)
        except TimeoutError:
            log.warning("the registry takes longer than %g s; answers do not wait for it", self.seconds)
            self.lost = True
        return not self.lost

    def answers_again(self) -> None:
        """Rely on the registry once more: somebody else has found it well."""
        if self._flight is None:
            self.lost = False

    def close(self) -> None:
        """Look no more; a look under way is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
        except Exception as error:  # whatever it is, answers go on without it
            log.warning("the registry does not say who is champion: %s", error)
            self.lost = True
        else:
            self.champion, self._began, self.lost = found, began, False
            if self.champion is not None:
                self._seen = {**dict(list(self._seen.items())[-8:]), self.champion: began}
        finally:
            self._flight = None


STEP = 0.005
"""Seconds between two looks at what the follower has loaded."""


AGAIN = 0.2
"""Seconds of waiting after which the registry is asked again: the champion may have moved once more."""


class FreshnessGuard:
    """Holds a batch until its version is known to be the champion of its time, or the one after it can answer.

    A version that cannot be loaded, or is not in time, is not waited for: the one in memory goes on answering.
    """

    def __init__(self, witness: AliasReader, follower: RegistryWatcher) -> None:
        self._witness, self._follower = witness, follower
        self._late: str | None = None

    async def until(self, version: str, asked: float) -> float:
        """Return up to which moment a question must have come to be answered by a version.

        Args:
            version: has answered a batch, or is about to.
            asked: when the last question of that batch came, in monotonic seconds.
        """
        deadline, moment = time.monotonic() + self._witness.seconds, asked
        while not self._witness.saw(version, asked) and await self._witness.look_after(moment):
            now = self._witness.champion
            if now == version or now is None or now == self._late or now in self._follower.failed:
                break
            self._follower.wake()
            if await self._taken_over(version, now, min(deadline, time.monotonic() + AGAIN)):
                self._late = None
                return self._witness.last_seen(version)
            moment = time.monotonic()
            if moment >= deadline:
                self._late = now
                break
        return math.inf

    async def _taken_over(self, before: str, version: str, until: float) -> bool:
        """Return when another version than before answers; False where none does in time, or it cannot be loaded."""
        while (champion := self._follower.roles.champion) is None or champion.version == before:
            if version in self._follower.failed or time.monotonic() > until:
                return False
            await asyncio.sleep(STEP)
        return True
