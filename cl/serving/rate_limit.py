"""Rate limit per client."""

from __future__ import annotations

import time
from collections import OrderedDict

CLIENTS = 10_000


class RateLimit:
    """Limits each client to a rate, with bursts of twice as many; beyond `CLIENTS` the least recent one is forgotten.

    The generic cell rate algorithm (ITU-T I.371) keeps one number per client: when its quota is full again.
    """

    def __init__(self, per_second: float) -> None:
        self._interval, self._burst = 1 / per_second, max(2.0, 2 / per_second)
        self._whole_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, client: str) -> float:
        """Count a request and return 0, or return the seconds until the client may send the next one."""
        now = time.monotonic()
        whole_at = max(now, self._whole_at.get(client, now)) + self._interval
        if whole_at - now > self._burst + 1e-9:
            return whole_at - now - self._burst
        self._whole_at[client] = whole_at
        self._whole_at.move_to_end(client)
        if len(self._whole_at) > CLIENTS:
            self._whole_at.popitem(last=False)
        return 0.0
