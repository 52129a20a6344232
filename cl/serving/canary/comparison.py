"""Compare a challenger with the champion on live traffic: agreement, latency, errors and delayed labels."""

from __future__ import annotations

import bisect
from dataclasses import asdict, dataclass, field
from typing import Any

EDGES = [round(10 ** (step / 10), 2) for step in range(51)]
"""Edges of the latency buckets: 1 ms to 100 s, ten per decade."""

Key = tuple[str, str, str, int]


@dataclass
class SideCounts:
    """Counts of one version: rows, failed rows, and requests by latency bucket."""

    rows: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))

    @property
    def requests(self) -> int:
        """Number of timed requests."""
        return sum(self.latency)

    def time(self, milliseconds: float) -> None:
        """Count a request of this latency."""
        self.latency[bisect.bisect_left(EDGES, milliseconds)] += 1

    def quantile(self, share: float) -> float | None:
        """Return a latency quantile in milliseconds, accurate to a bucket, or None without requests."""
        wanted, seen = share * self.requests, 0
        for count, edge in zip(self.latency, [*EDGES, EDGES[-1]], strict=True):
            seen += count
            if seen >= wanted and seen:
                return edge
        return None

    def plus(self, other: SideCounts) -> SideCounts:
        """Return the sum of two counts."""
        latency = [own + others for own, others in zip(self.latency, other.latency, strict=True)]
        return SideCounts(self.rows + other.rows, self.errors + other.errors, latency)


@dataclass
class Comparison:
    """Counts of a challenger (``role`` canary or shadow, counts ``own``) and one champion (the other counts).

    With a canary, the latencies of both are those of whole requests; with a shadow, of computation alone, as copies
    wait until no request does. ``compared`` and ``agreed`` count rows answered by both. Of the rows labelled later,
    ``both_right`` counts those that both got right, ``won`` and ``lost`` those that only the challenger or only the
    champion got right. A stopped canary that is tried again starts from zero, at the next ``attempt``.
    """

    role: str
    version: str
    champion: str
    attempt: int = 1
    own: SideCounts = field(default_factory=SideCounts)
    champion_side: SideCounts = field(default_factory=SideCounts)
    compared: int = 0
    agreed: int = 0
    both_right: int = 0
    both_wrong: int = 0
    won: int = 0
    lost: int = 0

    @property
    def key(self) -> Key:
        """What it compares."""
        return self.role, self.version, self.champion, self.attempt

    def label(self, *, own_right: bool, champion_right: bool) -> None:
        """Count a row whose true label is now known."""
        outcome = {(True, True): "both_right", (True, False): "won", (False, True): "lost"}
        name = outcome.get((own_right, champion_right), "both_wrong")
        setattr(self, name, getattr(self, name) + 1)

    def plus(self, other: Comparison) -> Comparison:
        """Return the sum of the counts of two workers."""
        counts = ("compared", "agreed", "both_right", "both_wrong", "won", "lost")
        summed = {name: getattr(self, name) + getattr(other, name) for name in counts}
        own, champion_side = self.own.plus(other.own), self.champion_side.plus(other.champion_side)
        return Comparison(*self.key, own=own, champion_side=champion_side, **summed)

    def as_json(self) -> dict[str, Any]:
        """Return the counts with the figures that people and gates read; `from_json` needs only the counts."""
        labelled = self.both_right + self.both_wrong + self.won + self.lost
        figures = {
            "agreement": self.agreed / self.compared if self.compared else None,
            "error_rate": self.own.errors / self.own.rows if self.own.rows else None,
            "p95_ms": self.own.quantile(0.95),
            "champion_p95_ms": self.champion_side.quantile(0.95),
            "labelled": labelled,
            "accuracy": (self.both_right + self.won) / labelled if labelled else None,
            "champion_accuracy": (self.both_right + self.lost) / labelled if labelled else None,
        }
        return {**asdict(self), "figures": figures}


def from_json(content: dict[str, Any]) -> Comparison:
    """Return the comparison that `as_json` wrote."""
    counts = {name: value for name, value in content.items() if name not in ("figures", "own", "champion_side")}
    return Comparison(**counts, own=SideCounts(**content["own"]), champion_side=SideCounts(**content["champion_side"]))
