"""Prometheus metrics of the server; where several workers share the port, those of all of them."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: a folder in which workers share their counts; set before it is imported."""
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """All that is counted; gauges of several workers are told for each, except where a sum has a meaning."""

    def __init__(self) -> None:
        self._own = own = CollectorRegistry()
        self._held: set[tuple[str, str]] = set()
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
        self.swaps = Gauge("cl_champion_swaps", "Times that another champion took over", registry=own)
        self.load_failures = Gauge(
            "cl_versions_not_loaded", "Versions with a role that cannot be loaded", registry=own,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.registry_up = Gauge(
            "cl_registry_up", "Whether the registry answered last time", registry=own, multiprocess_mode="livemin"
        )
        self.given_up = Gauge("cl_canary_given_up", "1 where a canary is asked no more", ["version"], registry=own)

    def hold(self, roles: dict[str, str]) -> None:
        """Say which version has each role; one that had one before is told as 0, for workers' files forget nothing."""
        now = set(roles.items())
        for gone in self._held - now:
            self.role.labels(*gone).set(0)
        for pair in now:
            self.role.labels(*pair).set(1)
        self._held |= now

    def text(self) -> bytes:
        """Return the exposition format."""
        if SHARED in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            every = CollectorRegistry()
            MultiProcessCollector(every)
            return generate_latest(every)
        return generate_latest(self._own)
