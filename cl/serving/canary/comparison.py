"""A challenger beside the champion on live traffic: agreement, latency, errors, and labels that came later."""

from __future__ import annotations

import bisect
from dataclasses import asdict, dataclass, field
from typing import Any

EDGES = [round(10 ** (step / 10), 2) for step in range(51)]
"""Borders of the latency classes: 1 ms to 100 s, ten to a decade."""

Key = tuple[str, str, str, int]


@dataclass
class SideCounts:
    """One version's part: rows that it was asked and that failed, requests by latency class."""

    rows: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))

    @property
    def requests(self) -> int:
        """Requests that were timed."""
        return sum(self.latency)

    def time(self, milliseconds: float) -> None:
        """Count a request of this latency."""
        self.latency[bisect.bisect_left(EDGES, milliseconds)] += 1

    def quantile(self, share: float) -> float | None:
        """Return the latency in milliseconds below which this share of the requests lies, to a class; None: no one."""
        wanted, seen = share * self.requests, 0
        for count, edge in zip(self.latency, [*EDGES, EDGES[-1]], strict=True):
            seen += count
            if seen >= wanted and seen:
                return edge
        return None

    def plus(self, other: SideCounts) -> SideCounts:
        """Return the sum of both."""
        latency = [one + two for one, two in zip(self.latency, other.latency, strict=True)]
        return SideCounts(self.rows + other.rows, self.errors + other.errors, latency)


@dataclass
class Comparison:
    """What is known of a challenger (``role`` canary or shadow) beside one champion.

    A canary's latencies, and the champion's beside them, are of whole requests; a shadow's are of computing alone, for
    copies wait until nobody else does. ``compared`` and ``agreed`` count rows that both have answered. Of those whose
    label came later, both were right in ``both_right``, one of them in ``won`` (the challenger) and ``lost``. A canary
    that was given up and is tried again begins with nothing, at the next ``attempt``.
    """

    role: str
    version: str
    champion: str
    attempt: int = 1
    own: SideCounts = field(default_factory=SideCounts)
    beside: SideCounts = field(default_factory=SideCounts)
    compared: int = 0
    agreed: int = 0
    both_right: int = 0
    both_wrong: int = 0
    won: int = 0
    lost: int = 0

    @property
    def key(self) -> Key:
        """Whom it compares."""
        return self.role, self.version, self.champion, self.attempt

    def label(self, own: Any, beside: Any, truth: Any) -> None:
        """Count a row whose right label is known now."""
        outcome = {(True, True): "both_right", (True, False): "won", (False, True): "lost"}
        name = outcome.get((own == truth, beside == truth), "both_wrong")
        setattr(self, name, getattr(self, name) + 1)

    def plus(self, other: Comparison) -> Comparison:
        """Return the sum of what two workers have seen."""
        counts = ("compared", "agreed", "both_right", "both_wrong", "won", "lost")
        summed = {name: getattr(self, name) + getattr(other, name) for name in counts}
        own, beside = self.own.plus(other.own), self.beside.plus(other.beside)
        return Comparison(*self.key, own=own, beside=beside, **summed)

    def as_json(self) -> dict[str, Any]:
        """Return it with the figures that people and gates read; `from_json` needs the counts alone."""
        labelled = self.both_right + self.both_wrong + self.won + self.lost
        figures = {
            "agreement": self.agreed / self.compared if self.compared else None,
            "error_rate": self.own.errors / self.own.rows if self.own.rows else None,
            "p95_ms": self.own.quantile(0.95),
            "champion_p95_ms": self.beside.quantile(0.95),
            "labelled": labelled,
            "accuracy": (self.both_right + self.won) / labelled if labelled else None,
            "champion_accuracy": (self.both_right + self.lost) / labelled if labelled else None,
        }
        return {**asdict(self), "figures": figures}


def from_json(told: dict[str, Any]) -> Comparison:
    """Return what `as_json` wrote."""
    counts = {name: value for name, value in told.items() if name not in ("figures", "own", "beside")}
    return Comparison(**counts, own=SideCounts(**told["own"]), beside=SideCounts(**told["beside"]))
