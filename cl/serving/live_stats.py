"""Live statistics of one worker: throughput, latency and label mix."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

SECONDS = 60
MIX = 1_000
LABELS = 12


class LiveStats:
    """Statistics of the last minute and of the last thousand rows; counted in the event loop."""

    def __init__(self) -> None:
        self.started = time.time()
        self.requests, self.rows, self.errors, self.refused = 0, 0, 0, 0
        self._recent: deque[tuple[float, float, int]] = deque(maxlen=100_000)
        self._labels: deque[str] = deque(maxlen=MIX)
        self._confidence: deque[float] = deque(maxlen=MIX)
        self._outside: deque[bool] = deque(maxlen=MIX)

    def answered(self, milliseconds: float, labels: list[str], confidences: list[float], outside: list[bool]) -> None:
        """Count an answered request with the labels, confidences and out-of-scope flags of its rows."""
        self.requests += 1
        self.rows += len(labels)
        self._recent.append((time.monotonic(), milliseconds, len(labels)))
        self._labels.extend(labels)
        self._confidence.extend(confidences)
        self._outside.extend(outside)

    def snapshot(self) -> dict[str, Any]:
        """Return the statistics as JSON; latencies are in milliseconds, or None without requests."""
        now = time.monotonic()
        recent = [request for request in self._recent if request[0] > now - SECONDS]
        latencies = sorted(milliseconds for _, milliseconds, _ in recent)
        seconds = max(1.0, min(SECONDS, time.time() - self.started))
        per_second = [0] * SECONDS
        for time_answered, _, _ in recent:
            per_second[min(SECONDS - 1, int(now - time_answered))] += 1
        mix = Counter(self._labels).most_common(LABELS)
        return {
            "uptime_seconds": round(time.time() - self.started, 1),
            "requests": self.requests,
            "rows": self.rows,
            "errors": self.errors,
            "refused": self.refused,
            "requests_per_second": round(len(recent) / seconds, 2),
            "rows_per_second": round(sum(rows for _, _, rows in recent) / seconds, 2),
            "requests_by_second": per_second[::-1],
            "p50_ms": _quantile(latencies, 0.5),
            "p95_ms": _quantile(latencies, 0.95),
            "labels": [{"label": label, "share": round(count / len(self._labels), 4)} for label, count in mix],
            "confidence": _mean(self._confidence),
            "out_of_scope": _mean(self._outside),
        }


def _quantile(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None


def _mean(values: deque[Any]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
