"""What a worker counts: plain numbers per model, version and arm, read by ``/metrics`` and by status."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from prodml_magics.serving.breaker import Breaker
from prodml_magics.serving.cache import PredictionCache
from prodml_magics.serving.counts import CacheTotals, Counts, LaneTotals
from prodml_magics.wire.status import Traffic

__all__ = ["LaneCounts", "Metrics", "ModelTraffic"]

_RECENT = 2048
_WINDOW_SECONDS = 60
_SIZES = 1024
_STATES = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class LaneCounts:
    """Counts of one model, version and arm since the worker started."""

    __slots__ = ("buckets", "failed_seconds", "last", "requests", "rows", "run_rows", "seconds", "shared_seconds", "sizes")

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        """Requests by HTTP status."""
        self.rows = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(_BUCKETS) + 1)
        self.failed_seconds = 0.0
        """Of requests that were not answered 200; a part of `seconds`."""
        self.run_rows = 0
        """Rows that the model has answered."""
        self.shared_seconds = 0.0
        """Seconds of runs, each counted once for every request that was in it."""
        self.sizes: dict[int, list[float]] = {}
        """Runs and their seconds by number of rows; all that were larger than a batch under 0."""
        self.last = 0.0
        """Seconds since 1970 when the model ran last."""

    def ran(self, requests: int, rows: int, seconds: float) -> None:
        """Take one run of the model that answered `requests` requests with `rows` rows."""
        self.run_rows += rows
        self.shared_seconds += seconds * requests
        self.last = time.time()
        size = self.sizes.setdefault(rows if rows <= _SIZES else 0, [0, 0.0])
        size[0] += 1
        size[1] += seconds

    def count(self, rows: int, seconds: float, status: int) -> None:
        """Take one answered request."""
        if status != 200:
            self.failed_seconds += seconds
        self.requests[status] += 1
        self.rows += rows
        self.seconds += seconds
        self.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def count_all(self, seconds: Sequence[float]) -> None:
        """Take one-row requests that were answered 200, each after its seconds."""
        self.requests[200] += len(seconds)
        self.rows += len(seconds)
        self.seconds += sum(seconds)
        for each in seconds:
            self.buckets[bisect_left(_BUCKETS, each)] += 1

    def totals(self, model: str, version: str, arm: str) -> LaneTotals:
        """The counts as a record."""
        return LaneTotals(
            model=model,
            version=version,
            arm=arm,
            requests=dict(self.requests),
            rows=self.rows,
            seconds=self.seconds,
            buckets=list(self.buckets),
            failed_seconds=self.failed_seconds,
            run_rows=self.run_rows,
            shared_seconds=self.shared_seconds,
            sizes={rows: (int(runs), seconds) for rows, (runs, seconds) in list(self.sizes.items())},
            last=self.last,
        )

    def add(self, other: LaneTotals) -> None:
        """Take the counts of another worker in."""
        self.requests.update(other.requests)
        self.rows += other.rows
        self.seconds += other.seconds
        self.buckets = [one + two for one, two in zip(self.buckets, other.buckets, strict=True)]
        self.failed_seconds += other.failed_seconds
        self.run_rows += other.run_rows
        self.shared_seconds += other.shared_seconds
        for rows, (runs, seconds) in other.sizes.items():
            size = self.sizes.setdefault(rows, [0, 0.0])
            size[0] += runs
            size[1] += seconds
        self.last = max(self.last, other.last)


class ModelTraffic:
    """Counts of one model since the worker started, and the latencies of its latest requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.rows = 0
        self.errors = 0
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._seconds: deque[list[int]] = deque()
        self._started = time.monotonic()

    def count(self, rows: int, seconds: float, now: float, *, failed: bool) -> None:
        """Take one answered request of `rows` rows that took `seconds` and ended at `now` (monotonic)."""
        self.requests += 1
        self.rows += rows
        self.errors += failed
        self._latencies.append(seconds)
        self._at(int(now), 1)

    def count_all(self, seconds: Sequence[float], now: float) -> None:
        """Take one-row requests that were answered 200 at `now`, each after its seconds."""
        self.requests += len(seconds)
        self.rows += len(seconds)
        self._latencies.extend(seconds)
        self._at(int(now), len(seconds))

    def _at(self, second: int, requests: int) -> None:
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += requests
        else:
            self._seconds.append([second, requests])
            self._forget(second)

    def _forget(self, second: float) -> None:
        while self._seconds and self._seconds[0][0] <= second - _WINDOW_SECONDS:
            self._seconds.popleft()

    def summary(self, *, refused_per_second: float = 0.0, **others: int) -> Traffic:
        """The counts as status shows them; `others` are those of its fields that are counted elsewhere."""
        now = time.monotonic()
        self._forget(now)
        window = min(_WINDOW_SECONDS, max(now - self._started, 1.0))
        low, high = np.percentile(self._latencies, [50, 99]) * 1e3 if self._latencies else (None, None)
        return Traffic(
            requests=self.requests,
            rows=self.rows,
            errors=self.errors,
            requests_per_second=round(sum(count for _, count in self._seconds) / window, 3),
            refused_per_second=round(refused_per_second, 3),
            p50_ms=None if low is None else round(float(low), 3),
            p99_ms=None if high is None else round(float(high), 3),
            **others,
        )


class Metrics:
    """The Prometheus page. Label values come from the ledger and from fixed words, never from clients.

    Numbers are kept plain and turned into metrics when they are scraped: a scrape every few seconds is rare, a request is not.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str, str], LaneCounts] = {}
        self.refused: Counter[int] = Counter()
        """Requests refused before routing, by HTTP status."""
        self.shadow_rows: Counter[tuple[str, str]] = Counter()
        self.shadow_dropped: Counter[tuple[str, str]] = Counter()
        self.unlogged: Counter[tuple[str, str, str, str]] = Counter()
        """Rows that were answered and not logged, by model, version, arm and reason: ``sample`` or ``failure``."""
        self.live: dict[str, int] = {}
        self.breakers: dict[tuple[str, str], Breaker] = {}
        """By model and version."""
        self._states: dict[tuple[str, str], float] = {}
        """The worst that a worker of the gateway says of a breaker, by model and version."""
        self.held: Callable[[], list[tuple[str, str, bool, int]]] = list
        """Model, version, whether it is put away, and bytes of every version of this worker."""
        self.caches: dict[str, PredictionCache | CacheTotals] = {}
        """By model."""
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def lane(self, model: str, version: int, arm: str) -> LaneCounts:
        """Where requests of this model, version and arm are counted."""
        return self._lanes.setdefault((model, str(version), arm), LaneCounts())

    def of_version(self, model: str, version: int) -> dict[str, LaneCounts]:
        """The counts of a version by arm."""
        return {key[2]: counts for key, counts in self._lanes.items() if key[:2] == (model, str(version))}

    def unlogged_rows(self, model: str, reason: str) -> int:
        """Rows of a model that were answered and not logged, for this reason."""
        return sum(rows for which, rows in self.unlogged.items() if (which[0], which[3]) == (model, reason))

    def counts(self) -> Counts:
        """What was counted here."""
        mirrored, dropped = ([(*which, n) for which, n in list(each.items())] for each in (self.shadow_rows, self.shadow_dropped))
        return Counts(
            lanes=[counts.totals(*which) for which, counts in list(self._lanes.items())],
            refused=dict(self.refused),
            shadow_rows=mirrored,
            shadow_dropped=dropped,
            unlogged=[(*which, rows) for which, rows in list(self.unlogged.items())],
            caches={
                model: CacheTotals(cache.hits, cache.misses, cache.evicted, cache.saved_seconds, cache.bytes)
                for model, cache in list(self.caches.items())
            },
            breakers=[(*which, _STATES[breaker.state]) for which, breaker in list(self.breakers.items())],
        )

    def with_others(self, others: Iterable[Counts]) -> Metrics:
        """These metrics with what other workers of the gateway have counted; breakers are as open as with any, live versions as here."""
        together = Metrics()
        for counts in (self.counts(), *others):
            together._add(counts)
        together.live, together.held = self.live, self.held
        return together

    def _add(self, counts: Counts) -> None:
        for totals in counts.lanes:
            self._lanes.setdefault((totals.model, totals.version, totals.arm), LaneCounts()).add(totals)
        for model, cache in counts.caches.items():
            there = self.caches.setdefault(model, CacheTotals())
            for field in CacheTotals.__struct_fields__:
                setattr(there, field, getattr(there, field) + getattr(cache, field))
        for model, version, state in counts.breakers:
            self._states[model, version] = max(state, self._states.get((model, version), 0.0))
        self.refused.update(counts.refused)
        self.shadow_rows.update({(model, version): rows for model, version, rows in counts.shadow_rows})
        self.shadow_dropped.update({(model, version): rows for model, version, rows in counts.shadow_dropped})
        self.unlogged.update({(model, version, arm, reason): rows for model, version, arm, reason, rows in counts.unlogged})

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks of a collector."""
        labels = ["model", "version", "arm"]
        requests = CounterMetricFamily("prodml_requests", "Requests answered", labels=[*labels, "status"])
        rows = CounterMetricFamily("prodml_rows", "Rows answered", labels=labels)
        latency = HistogramMetricFamily("prodml_latency_seconds", "Seconds per request", labels=labels)
        for which, counts in list(self._lanes.items()):
            for status, count in list(counts.requests.items()):
                requests.add_metric([*which, str(status)], count)
            rows.add_metric(which, counts.rows)
            latency.add_metric(which, _cumulative(counts.buckets), counts.seconds)
        yield from (requests, rows, latency)
        refused = CounterMetricFamily("prodml_refused", "Requests refused before routing", labels=["status"])
        _fill(refused, (((str(status),), count) for status, count in list(self.refused.items())))
        mirrored = CounterMetricFamily("prodml_shadow_rows", "Rows run by a shadow", labels=["model", "version"])
        _fill(mirrored, list(self.shadow_rows.items()))
        dropped = CounterMetricFamily(
            "prodml_shadow_dropped_rows", "Rows that a shadow could not take", labels=["model", "version"]
        )
        _fill(dropped, list(self.shadow_dropped.items()))
        unlogged = CounterMetricFamily("prodml_unlogged_rows", "Rows answered and not logged", labels=[*labels, "reason"])
        _fill(unlogged, list(self.unlogged.items()))
        live = GaugeMetricFamily("prodml_live_version", "Version that is live; 0 when none", labels=["model"])
        _fill(live, (((model,), version) for model, version in list(self.live.items())))
        breakers = GaugeMetricFamily(
            "prodml_breaker_open", "1 while a version is not asked, 0.5 while tried", labels=["model", "version"]
        )
        own = {which: _STATES[breaker.state] for which, breaker in list(self.breakers.items())}
        _fill(breakers, list((own | self._states).items()))
        loaded = GaugeMetricFamily("prodml_version_loaded", "0 while a version is out of memory", labels=["model", "version"])
        size = GaugeMetricFamily("prodml_version_bytes", "Memory of a version when it was loaded", labels=["model", "version"])
        for model, version, asleep, held in self.held():
            loaded.add_metric([model, version], float(not asleep))
            size.add_metric([model, version], held)
        yield from (refused, mirrored, dropped, unlogged, live, breakers, loaded, size)
        yield from self._of_caches()

    def _of_caches(self) -> Iterator[Metric]:
        caches = [((model,), cache) for model, cache in list(self.caches.items())]
        for name, text, count in (
            ("hits", "Rows answered from the prediction cache", lambda cache: cache.hits),
            ("misses", "Rows that the prediction cache did not have", lambda cache: cache.misses),
            ("evicted", "Rows that the prediction cache had no more room for", lambda cache: cache.evicted),
            ("saved_seconds", "Seconds of model runs that hits have spared", lambda cache: cache.saved_seconds),
        ):
            family = CounterMetricFamily(f"prodml_cache_{name}", text, labels=["model"])
            _fill(family, ((model, count(cache)) for model, cache in caches))
            yield family
        held = GaugeMetricFamily("prodml_cache_bytes", "Memory that the prediction cache holds", labels=["model"])
        _fill(held, ((model, cache.bytes) for model, cache in caches))
        yield held


def _fill(family: CounterMetricFamily | GaugeMetricFamily, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
    for labels, value in values:
        family.add_metric(labels, value)


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    found = []
    for bound, count in zip([*(str(bound) for bound in _BUCKETS), "+Inf"], buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
