"""Which answers are of the champion's own time: those of a version that was champion when asked, or since."""

from __future__ import annotations

import asyncio
import math
import time

from cl.serving.follower import Follower
from cl.serving.witness import Witness

STEP = 0.005
"""Seconds between two looks at what the follower has loaded."""


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
        if self._witness.saw(version, asked) or not await self._witness.look_after(asked):
            return math.inf
        if self._witness.saw(version, asked):
            return math.inf
        now = self._witness.champion
        if now is None or now == self._late or not await self._reached(now):
            return math.inf
        return self._witness.last_seen(version)

    async def _reached(self, version: str) -> bool:
        """Return when a version has taken over; False where it cannot be loaded, or not in time."""
        self._follower.wake()
        deadline = time.monotonic() + self._witness.seconds
        while (champion := self._follower.roles.champion) is None or champion.version != version:
            if version in self._follower.failed:
                return False
            if time.monotonic() > deadline or self._witness.champion != version:
                self._late = version
                return False
            await asyncio.sleep(STEP)
        self._late = None
        return True
