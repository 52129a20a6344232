"""Traffic routing: the champion or, for a share of requests, the canary answers; the shadow gets copies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from cl.serving.served_model import RowAnswer, ServedModel

Role = Literal["champion", "canary", "shadow"]


@dataclass(frozen=True)
class RequestAnswer:
    """One version's answers to the rows of a request, in their order.

    ``seconds`` is the compute time of their batches, ``failed`` a canary that could not answer, so that the champion
    did; ``tagger`` is the version that found the spans in them, if one did.
    """

    loaded: ServedModel
    role: Role
    answers: list[RowAnswer]
    seconds: float
    failed: str | None = None
    tagger: str | None = None


@dataclass(frozen=True)
class TrafficSplit:
    """The loaded version of each role, and the traffic shares (0 to 1) of canary and shadow.

    It is immutable and replaced between two batches. ``canary_attempt`` counts how often the canary has been tried.
    """

    champion: ServedModel | None = None
    canary: ServedModel | None = None
    canary_share: float = 0.0
    canary_attempt: int = 1
    shadow: ServedModel | None = None
    shadow_share: float = 0.0

    def role_for(self, key: str) -> Role:
        """Return the role that answers a request with this key; it is the same for the life of a canary."""
        chosen = self.canary is not None and request_share(key, self.canary.version) < self.canary_share
        return "canary" if chosen else "champion"

    def copied(self, key: str) -> bool:
        """Return whether the shadow gets a copy of a request with this key."""
        return self.shadow is not None and request_share(key, self.shadow.version) < self.shadow_share


def request_share(key: str, version: str) -> float:
    """Return a number in [0, 1) for a key and a version: the same in every process, uniform over the keys.

    It depends on the version, so that each canary gets different clients.
    """
    content = f"{version}\0{key}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) / 2**64
