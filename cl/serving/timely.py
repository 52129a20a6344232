"""Which answers are of the champion's own time: those of a version that was champion when asked, or since."""

from __future__ import annotations

import asyncio
import math
import time

from cl.serving.follower import Follower
from cl.serving.witness import Witness

STEP = 0.005
"""Seconds between two looks at what the follower has loaded."""
AGAIN = 0.2
"""Seconds of waiting after which the registry is asked again: the champion may have moved once more."""


class Timely:
    """Holds a batch until its version is known to be the champion of its time, or the one after it can answer.

    A version that cannot be loaded, or is not in time, is not waited for: the one in memory goes on answering.
    """

    def __init__(self, witness: Witness, follower: Follower) -> None:
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
