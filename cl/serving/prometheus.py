"""Prometheus metrics of the server; where several workers share the port, those of all of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: a folder in which workers share their counts; set before it is imported."""
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """All that is counted; gauges of several workers are told for each, except where a sum has a meaning."""

    def __init__(self) -> None:
        self._own = own = CollectorRegistry()
        self._held: set[tuple[Gauge, tuple[str, ...]]] = set()
        self.requests = Counter("cl_requests", "Requests by route and status", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "cl_request_seconds", "From the request to its answer", ["route"], buckets=SECONDS, registry=own
        )
        self.rows = Counter("cl_rows", "Rows answered", ["version", "role"], registry=own)
        self.failures = Counter("cl_row_failures", "Rows that a version could not answer", ["version"], registry=own)
        self.outside = Counter("cl_rows_out_of_scope", "Rows beyond the novelty threshold", ["version"], registry=own)
        self.batches = Histogram("cl_batch_rows", "Rows computed together", buckets=ROWS, registry=own)
        self.waiting = Gauge(
            "cl_queue_rows", "Rows that wait or are computed", registry=own, multiprocess_mode="livesum"
        )
        self.dropped = Counter("cl_copies_dropped", "Copies for which there was no time", registry=own)
        self.role = Gauge(
            "cl_version_role", "1 for the version that has a role", ["role", "version"], registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.swaps = Gauge(
            "cl_champion_swaps", "Times that another champion took over", registry=own, multiprocess_mode="livemax"
        )
        self.load_failures = Gauge(
            "cl_versions_not_loaded", "Versions with a role that cannot be loaded", registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.registry_up = Gauge(
            "cl_registry_up", "Whether the registry answered last time", registry=own, multiprocess_mode="livemin"
        )
        self.given_up = Gauge(
            "cl_canary_given_up", "1 where a canary is asked no more", ["version"], registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip

    def hold(self, roles: dict[str, str], given_up: Iterable[str]) -> None:
        """Say which version has each role, and which canaries are asked no more.

        What held before and does not now is told as 0, for the workers' files forget nothing.
        """
        now = {(self.role, pair) for pair in roles.items()} | {(self.given_up, (version,)) for version in given_up}
        for gauge, labels in self._held | now:
            gauge.labels(*labels).set((gauge, labels) in now)
        self._held |= now

    def text(self) -> bytes:
        """Return the exposition format."""
        if SHARED in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            _forget_the_dead(Path(os.environ[SHARED]))
            every = CollectorRegistry()
            MultiProcessCollector(every)
            return generate_latest(every)
        return generate_latest(self._own)


def _forget_the_dead(folder: Path) -> None:
    """Leave out what a worker that died had said of itself; what it had counted stays counted."""
    from prometheus_client.multiprocess import mark_process_dead

    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(FileNotFoundError):  # another worker did the same
                mark_process_dead(pid, str(folder))
