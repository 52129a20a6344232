"""Freshness guarantee: a version that was champion at a request's arrival or later answers it."""

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
    """Reads the alias `champion` on demand; concurrent callers share one read.

    A version may answer a request if a read that began after the request arrived saw it as champion. Reads run in their
    own thread while a batch is computed. After a timeout nothing waits for the registry until it answers again.
    """

    def __init__(self, champion: Callable[[], str | None], seconds: float) -> None:
        self._read_champion, self.seconds = champion, seconds
        self._thread = ThreadPoolExecutor(1, "witness")
        self._pending_read: asyncio.Task[None] | None = None
        self._began = -1.0  # when the last finished read began
        self._seen: dict[str, float] = {}
        self.champion: str | None = None
        self.lost = False

    def saw(self, version: str, moment: float) -> bool:
        """Return whether a read that began at ``moment`` (monotonic seconds) or later saw a version as champion."""
        return self.last_seen(version) >= moment

    def last_seen(self, version: str) -> float:
        """Return when the last read that saw a version as champion began, in monotonic seconds, or -1 if none did."""
        return self._seen.get(version, -1.0)

    async def read_after(self, moment: float) -> bool:
        """Wait for a read that began at ``moment`` or later; return False if none ends in time."""
        if self.lost or not self.seconds:
            return False
        try:
            async with asyncio.timeout(self.seconds):
                while self._began < moment and not self.lost:
                    self._pending_read = self._pending_read or asyncio.ensure_future(self._read_alias())
                    await asyncio.shield(self._pending_read)
        except TimeoutError:
            log.warning("the registry did not answer within %g s; answers no longer wait for it", self.seconds)
            self.lost = True
        return not self.lost

    def answers_again(self) -> None:
        """Wait for the registry again, after it has answered elsewhere."""
        if self._pending_read is None:
            self.lost = False

    def close(self) -> None:
        """Stop reading, without waiting for a read in progress."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _read_alias(self) -> None:
        began = time.monotonic()
        try:
            champion = await asyncio.get_running_loop().run_in_executor(self._thread, self._read_champion)
        except Exception as error:  # whatever the error, answers continue without the registry
            log.warning("the alias champion could not be read: %s", error)
            self.lost = True
        else:
            self.champion, self._began, self.lost = champion, began, False
            if self.champion is not None:
                self._seen = {**dict(list(self._seen.items())[-8:]), self.champion: began}
        finally:
            self._pending_read = None


STEP = 0.005
"""Seconds between two checks of what the registry watcher has loaded."""
AGAIN = 0.2
"""Seconds of waiting after which the alias is read again, as the champion may have changed again."""


class FreshnessGuard:
    """Holds a batch until its version is confirmed as champion or the next champion can answer.

    It does not wait for a version that cannot be loaded or is late: the version in memory keeps answering.
    """

    def __init__(self, alias_reader: AliasReader, follower: RegistryWatcher) -> None:
        self._alias_reader, self._watcher = alias_reader, follower
        self._timed_out: str | None = None

    async def until(self, version: str, asked: float) -> float:
        """Return the latest arrival time of requests that a version may answer.

        Args:
            version: the version that answers a batch.
            asked: when the last request of that batch arrived, in monotonic seconds.
        """
        deadline, moment = time.monotonic() + self._alias_reader.seconds, asked
        while not self._alias_reader.saw(version, asked) and await self._alias_reader.read_after(moment):
            champion = self._alias_reader.champion
            if champion is None or champion in (version, self._timed_out) or champion in self._watcher.failed:
                break
            self._watcher.wake()
            if await self._await_takeover(version, champion, min(deadline, time.monotonic() + AGAIN)):
                self._timed_out = None
                return self._alias_reader.last_seen(version)
            moment = time.monotonic()
            if moment >= deadline:
                self._timed_out = champion
                break
        return math.inf

    async def _await_takeover(self, previous: str, version: str, until: float) -> bool:
        """Wait until the champion in memory changes; return False on timeout or if ``version`` failed to load."""
        while (champion := self._watcher.roles.champion) is None or champion.version == previous:
            if version in self._watcher.failed or time.monotonic() > until:
                return False
            await asyncio.sleep(STEP)
        return True
