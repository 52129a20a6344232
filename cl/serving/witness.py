"""Who is champion, seen after a question came: what makes an answer one of the champion's own time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)


class Witness:
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
