"""Counts of several workers add up to what one would have counted."""

from __future__ import annotations

import msgspec

from prodml_magics.serving.breaker import Breaker
from prodml_magics.serving.cache import PredictionCache
from prodml_magics.serving.counts import Counts
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.statistics import version_statistics


def count(metrics: Metrics, times: int) -> None:
    """Let `metrics` count as much as `times` equal workers would."""
    for _ in range(times):
        for arm, status in (("live", 200), ("live", 500), ("canary", 200), ("cache", 200)):
            lane = metrics.lane("cancer", 1, arm)
            lane.ran(2, 7, 0.25)
            lane.ran(1, 5_000, 0.5)
            lane.count(3, 0.25, status)
            lane.count_all([0.5, 0.125])
        metrics.refused[404] += 1
        metrics.shadow_rows["cancer", "2"] += 2
        metrics.shadow_dropped["cancer", "2"] += 1
        metrics.unlogged["cancer", "1", "live", "failure"] += 4
    cache = PredictionCache(100, 1.0)
    cache.hits, cache.misses, cache.evicted, cache.saved_seconds, cache.bytes = (each * times for each in (3, 2, 1, 0.5, 10))
    metrics.caches["cancer"] = cache


def test_three_workers_tell_what_one_would() -> None:
    first, second, third, alone = (Metrics() for _ in range(4))
    for metrics in (first, second, third):
        count(metrics, 1)
    count(alone, 3)
    sent = [msgspec.json.decode(msgspec.json.encode(each.counts()), type=Counts) for each in (second, third)]
    together = first.with_others(sent)
    assert together.page() == alone.page()
    last = max(counts.last for counts in together.of_version("cancer", 1).values())
    for counts in (*together.of_version("cancer", 1).values(), *alone.of_version("cancer", 1).values()):
        counts.last = last
    assert version_statistics("cancer", 1, together.of_version("cancer", 1)) == version_statistics(
        "cancer", 1, alone.of_version("cancer", 1)
    )
    assert first.counts().caches["cancer"].hits == 3, "what was counted here is left as it was"


def test_a_breaker_is_as_open_as_with_any_worker() -> None:
    workers = [Metrics() for _ in range(3)]
    for metrics in workers:
        metrics.breakers["cancer", "1"] = Breaker()
    workers[1].breakers["cancer", "1"].took(0, 20)
    others = [msgspec.json.decode(msgspec.json.encode(each.counts()), type=Counts) for each in workers[1:]]
    line = b'prodml_breaker_open{model="cancer",version="1"} '
    assert line + b"1.0" in workers[0].with_others(others).page()
    assert line + b"0.0" in workers[0].with_others([]).page() and line + b"0.0" in workers[0].page()
