"""Prometheus metrics of the server, aggregated over all workers that share the port."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable for the folder in which workers share counts; set it before importing the client."""
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """All metrics of one worker, with how each gauge is aggregated over workers."""

    def __init__(self) -> None:
        self._own = own = CollectorRegistry()
        self._reported: set[tuple[Gauge, tuple[str, ...]]] = set()
        self.requests = Counter("cl_requests", "Requests by route and status", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "cl_request_seconds", "Seconds from request to answer", ["route"], buckets=SECONDS, registry=own
        )
        self.rows = Counter("cl_rows", "Rows answered", ["version", "role"], registry=own)
        self.failures = Counter("cl_row_failures", "Rows that a version could not answer", ["version"], registry=own)
        self.outside = Counter("cl_rows_out_of_scope", "Rows beyond the novelty threshold", ["version"], registry=own)
        self.thumbs = Counter("cl_thumbs", "Opinions on written answers", ["version", "thumb"], registry=own)
        self.batches = Histogram("cl_batch_rows", "Rows computed together", buckets=ROWS, registry=own)
        self.waiting = Gauge(
            "cl_queue_rows", "Rows that wait or are being computed", registry=own, multiprocess_mode="livesum"
        )
        self.dropped = Counter("cl_copies_dropped", "Copies dropped for lack of capacity", registry=own)
        self.role = Gauge(
            "cl_version_role", "1 for the current version of each role", ["role", "version"], registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.swaps = Gauge("cl_champion_swaps", "Number of champion changes", registry=own, multiprocess_mode="livemax")
        self.load_failures = Gauge(
            "cl_versions_not_loaded", "Versions with a role that cannot be loaded", registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.registry_up = Gauge(
            "cl_registry_up", "1 if the registry answered the last poll", registry=own, multiprocess_mode="livemin"
        )
        self.given_up = Gauge(
            "cl_canary_given_up", "1 for a stopped canary", ["version"], registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip

    def hold(self, roles: dict[str, str], given_up: Iterable[str]) -> None:
        """Set the version of each role and the stopped canaries.

        Earlier label values are set to 0, because the workers' files keep them.
        """
        current = {(self.role, pair) for pair in roles.items()} | {(self.given_up, (version,)) for version in given_up}
        for gauge, labels in self._reported | current:
            gauge.labels(*labels).set((gauge, labels) in current)
        self._reported |= current

    def text(self) -> bytes:
        """Return the metrics in the exposition format."""
        if SHARED in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            _drop_dead_workers(Path(os.environ[SHARED]))
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            return generate_latest(registry)
        return generate_latest(self._own)


def _drop_dead_workers(folder: Path) -> None:
    """Drop the live gauges of dead workers; their counters stay."""
    from prometheus_client.multiprocess import mark_process_dead

    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(FileNotFoundError):  # another worker did the same
                mark_process_dead(pid, str(folder))
