"""Who answers a request: the champion, or for a share of the requests the canary; and who hears a copy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from cl.serving.served_model import ServedModel

Role = Literal["champion", "canary", "shadow"]


@dataclass(frozen=True)
class TrafficSplit:
    """The versions that are in memory for each role at one moment, and the shares (0 to 1) of two of them.

    It is replaced as a whole, between two batches. ``canary_attempt`` counts how often the canary has been tried.
    """

    champion: ServedModel | None = None
    canary: ServedModel | None = None
    canary_share: float = 0.0
    canary_attempt: int = 1
    shadow: ServedModel | None = None
    shadow_share: float = 0.0

    def role_for(self, key: str) -> Role:
        """Return who answers a request with this key; one key has one answerer while a canary lasts."""
        chosen = self.canary is not None and request_share(key, self.canary.version) < self.canary_share
        return "canary" if chosen else "champion"

    def copied(self, key: str) -> bool:
        """Tell whether the shadow hears a copy of a request with this key."""
        return self.shadow is not None and request_share(key, self.shadow.version) < self.shadow_share


def request_share(key: str, version: str) -> float:
    """Return a number from 0 to 1 that a key has with a version: the same in every process, even over the keys.

    The version is part of it, so that not the same clients are a canary's every time.
    """
    told = f"{version}\0{key}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) / 2**64
