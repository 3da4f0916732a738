"""What bakes is held against what was before: bounds are bounds, moments count once, and equal versions are rarely taken back."""

from __future__ import annotations

import numpy as np
import pytest
from plans import plan
from scipy.stats import binom

from prodml_magics.rollouts.baking import Answered, Baked, Before, fold_baked, log_unwell, tolerated, upper_share
from prodml_magics.rollouts.evidence import Evidence, begin
from prodml_magics.rollouts.guards import GUARDS, read_guards
from prodml_magics.rollouts.harm import culprits
from prodml_magics.rollouts.watched import unwell, watched_verdicts

AT_ONCE = plan(steps=(100.0,))
GUARDED = read_guards("", "")


@pytest.mark.parametrize(("hits", "of"), [(0, 50), (0, 5_000), (3, 400), (40, 1_000), (1_000, 1_000)])
def test_the_upper_share_is_one_that_the_binomial_distribution_refuses(hits: int, of: int) -> None:
    """An independent oracle: Clopper and Pearson's bound is exact, and Chernoff's lies above it and not far."""
    found = upper_share(hits, of, 0.01)
    assert hits / of <= found <= 1
    if hits < of:
        assert binom.cdf(hits, of, found) <= 0.01
        assert binom.cdf(hits, of, hits / of + (found - hits / of) / 2) > 0.01
    assert upper_share(0, 0, 0.01) == 1.0


def test_what_is_tolerated_is_the_share_before_with_its_margin_or_five_points_where_little_is_known() -> None:
    error_rate, latency = GUARDS["error_rate"], GUARDS["latency_p99"]
    known = tolerated(error_rate, Before(100_000, {"error_rate": 1_000}), 2, 0.05)
    assert known is not None and 0.015 < known < 0.017
    assert tolerated(error_rate, Before(), 2, 0.05) == pytest.approx(0.055)
    assert tolerated(latency, Before(), 2, 0.05) is None
    beyond = tolerated(latency, Before(runs=20_000), 2, 0.05)
    assert beyond is not None and 0.01 < beyond < 0.015
    relative = read_guards("error_rate", "error_rate=50%")[0]
    assert tolerated(relative, Before(), 1, 0.05) == pytest.approx(0.075)


def answered(second: list[int], run_ms: list[float], failed: list[int], key: list[str] | None = None) -> Answered:
    count = len(second)
    masks = {"error_rate": np.array(failed, bool)}
    return Answered(masks, np.array(run_ms), np.ones(count, bool), np.array(second), key or [""] * count)


def test_one_run_of_five_seconds_counts_and_one_request_of_a_key() -> None:
    limits, seen = {"latency_p99": 5.0}, set[str]()
    first = answered([30, 34, 35], [9.0, 9.0, 1.0], [1, 1, 0], ["ann", "ann", ""])
    baked = fold_baked(Baked(), "a", first, limits, seen)
    assert (baked.requests, baked.units, baked.failed) == (3, 2, {"error_rate": 1})
    assert (baked.runs, baked.slow, baked.stretches) == (2, {"latency_p99": 1}, {"a": 7})
    again = fold_baked(baked, "a", answered([39, 40], [9.0, 9.0], [1, 0], ["bob", "ann"]), limits, seen)
    assert (again.units, again.failed, again.runs, again.slow) == (3, {"error_rate": 2}, 3, {"latency_p99": 2})
    other = fold_baked(again, "b", answered([38], [9.0], [0]), limits, seen)
    assert (other.runs, other.stretches) == (4, {"a": 8, "b": 7})
    assert fold_baked(other, "b", answered([], [], []), limits, seen) is other


def evidence(baked: Baked) -> Evidence:
    rng = np.random.default_rng(0)
    known = begin(AT_ONCE, 3, latencies=rng.lognormal(1.4, 0.6, 5_000), before=Before(5_000, {"error_rate": 25}))
    return Evidence(**{name: getattr(known, name) for name in known.__struct_fields__} | {"baked": baked})


def test_as_bad_as_may_be_is_called_worse_at_most_at_alpha_however_often_one_looks() -> None:
    """At the margin exactly, looked at after every 20 of 4,000 requests; the time before is a sample itself."""
    rng, runs, called = np.random.default_rng(1), 300, 0
    for _ in range(runs):
        before = Before(5_000, {"error_rate": int(rng.binomial(5_000, 0.01))}, 5_000)
        failed, slow = np.cumsum(rng.binomial(20, 0.015, 200)), np.cumsum(rng.binomial(1, 0.01, 200))
        called += any(
            culprits(
                log_unwell(GUARDED, before, Baked(0, 20 * n, {"error_rate": int(f)}, n, {"latency_p99": int(s)}), 0.05), 0.025
            )
            for n, f, s in zip(range(1, 201), failed, slow, strict=True)
        )
    assert called / runs <= 0.05


def test_what_is_worse_is_named_and_what_is_as_before_is_said_to_be() -> None:
    failing = evidence(Baked(300, 300, {"error_rate": 30}, 50, {"latency_p99": 0}))
    assert unwell(AT_ONCE, failing) == ("error_rate",)
    assert [each.verdict for each in watched_verdicts(AT_ONCE, failing)] == ["worse", "undecided"]
    good = evidence(Baked(5_000, 5_000, {"error_rate": 20}, 900, {"latency_p99": 0}))
    assert unwell(AT_ONCE, good) == ()
    assert [each.verdict for each in watched_verdicts(AT_ONCE, good)] == ["no worse", "no worse"]
    unknown = watched_verdicts(AT_ONCE, begin(AT_ONCE, 3))
    assert "too little traffic before" in unknown[1].note
