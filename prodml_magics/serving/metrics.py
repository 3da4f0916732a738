"""What a worker counts: for Prometheus on ``/metrics``, and per model for status and panel."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from prodml_magics.wire.status import Traffic

__all__ = ["Metrics", "ModelTraffic"]

_RECENT = 2048
_WINDOW_SECONDS = 60
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class ModelTraffic:
    """Counts of one model since the worker started, and the latencies of its latest requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.rows = 0
        self.errors = 0
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._seconds: deque[list[float]] = deque()
        self._started = time.monotonic()

    def count(self, rows: int, seconds: float, *, failed: bool) -> None:
        """Take one answered request of `rows` rows that took `seconds`."""
        self.requests += 1
        self.rows += rows
        self.errors += failed
        self._latencies.append(seconds)
        second = int(time.monotonic())
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
        else:
            self._seconds.append([second, 1])
            self._forget(second)

    def _forget(self, second: float) -> None:
        while self._seconds and self._seconds[0][0] <= second - _WINDOW_SECONDS:
            self._seconds.popleft()

    def summary(self, *, shadow_rows: int, shadow_dropped: int, shadow_errors: int) -> Traffic:
        """The counts as status shows them."""
        now = time.monotonic()
        self._forget(now)
        window = min(_WINDOW_SECONDS, max(now - self._started, 1.0))
        low, high = np.percentile(self._latencies, [50, 99]) * 1e3 if self._latencies else (None, None)
        return Traffic(
            requests=self.requests,
            rows=self.rows,
            errors=self.errors,
            requests_per_second=round(sum(count for _, count in self._seconds) / window, 3),
            p50_ms=None if low is None else round(float(low), 3),
            p99_ms=None if high is None else round(float(high), 3),
            shadow_rows=shadow_rows,
            shadow_dropped=shadow_dropped,
            shadow_errors=shadow_errors,
        )


class Metrics:
    """The Prometheus side; label values come from the ledger and from fixed words, never from clients."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["model", "version", "arm"]
        self.requests = Counter("prodml_requests", "Requests answered", [*labels, "status"], registry=self.registry)
        self.rows = Counter("prodml_rows", "Rows answered", labels, registry=self.registry)
        self.latency = Histogram(
            "prodml_latency_seconds", "Seconds per request", labels, buckets=_BUCKETS, registry=self.registry
        )
        self.refused = Counter("prodml_refused", "Requests refused before routing", ["status"], registry=self.registry)
        self.shadow_rows = Counter("prodml_shadow_rows", "Rows run by a shadow", ["model", "version"], registry=self.registry)
        self.shadow_dropped = Gauge(
            "prodml_shadow_dropped_rows", "Rows that a shadow could not take", ["model", "version"], registry=self.registry
        )
        self.live = Gauge("prodml_live_version", "Version that is live; 0 when none", ["model"], registry=self.registry)

    def answered(self, model: str, version: int, arm: str, rows: int, seconds: float, status: int) -> None:
        """Count one answered request."""
        which = (model, str(version), arm)
        self.requests.labels(*which, str(status)).inc()
        self.rows.labels(*which).inc(rows)
        self.latency.labels(*which).observe(seconds)

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
