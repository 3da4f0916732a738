"""Metrics without bounds: clipped, compared within steps, asymptotic; the grammar of guards on metrics."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.errors import UsageError
from prodml_magics.rollouts.guards import bound_of, lower_is_better, margin_text, range_of, read_guards
from prodml_magics.rollouts.means import Units
from prodml_magics.rollouts.metrics import Metric, metric_of
from prodml_magics.rollouts.money import Clip, clip_of, clipped_tally_of
from prodml_magics.stats.sequential.clipped_mean import Moments, difference, log_higher

SHARES = (0.05, 0.25, 1.0)
WIDE = Clip(-1e9, 1e9)


def sold(rng: np.random.Generator, count: int, step: int, *, canary: float = 1.0, level: float = 1.0) -> Units:
    """Revenue of one step; the canary's is multiplied."""
    mine = rng.random(count) < SHARES[step]
    return Units(mine, np.full(count, step), level * rng.lognormal(0.0, 1.0, count) * np.where(mine, canary, 1.0))


def joined(*parts: Units) -> Units:
    return Units(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def test_steps_are_compared_within_themselves() -> None:
    """Ten times the revenue in the step with the larger share is no difference between the versions."""
    rng = np.random.default_rng(0)
    both = joined(sold(rng, 4_000, 0), sold(rng, 4_000, 1, level=10.0))
    found = clipped_tally_of(both, SHARES, 0.05, WIDE, 0.05, lower=False)
    strata = []
    for step in (0, 1):
        values = [both.value[(both.step == step) & (both.canary == arm)] for arm in (False, True)]
        strata.append((Moments.of(values[0]), Moments.of(values[1])))
    apart = difference(strata)
    assert found.harm[0] == pytest.approx(log_higher(apart._replace(mean=-apart.mean)))
    assert found.low is not None and found.high is not None and found.low < 0 < found.high
    pooled = both.value[both.canary].mean() - both.value[~both.canary].mean()
    assert pooled > found.high  # what pooling would have said


def test_less_revenue_is_harm_and_more_cost_is() -> None:
    rng = np.random.default_rng(1)
    less, more = sold(rng, 20_000, 1, canary=0.8), sold(rng, 20_000, 1, canary=1.25)
    assert clipped_tally_of(less, SHARES, 0.05, WIDE, 0.05, lower=False).harm[0] > np.log(20)
    cost = more._replace(value=-more.value)
    found = clipped_tally_of(cost, SHARES, 0.05, WIDE, 0.05, lower=True)
    assert found.harm[0] > np.log(20) and found.no_worse[0] < 0
    assert clipped_tally_of(more, SHARES, 0.05, WIDE, 0.05, lower=False).harm[0] < 0


def test_the_margin_is_a_share_of_the_live_versions_mean_and_none_where_that_is_not_above_0() -> None:
    rng = np.random.default_rng(2)
    alike = sold(rng, 60_000, 1)
    assert clipped_tally_of(alike, SHARES, 0.1, WIDE, 0.05, lower=False).no_worse[0] > np.log(20)
    cost = alike._replace(value=-alike.value)
    assert clipped_tally_of(cost, SHARES, 0.1, WIDE, 0.05, lower=True).no_worse[0] > np.log(20)
    loss = alike._replace(value=-alike.value)
    assert clipped_tally_of(loss, SHARES, 0.1, WIDE, 0.05, lower=False).no_worse == (0.0,)


def test_one_enormous_value_decides_nothing_and_what_told_the_limits_is_spent() -> None:
    rng = np.random.default_rng(3)
    both = sold(rng, 8_000, 1)
    struck = both.value.copy()
    struck[np.flatnonzero(~both.canary)[1_000]] = 1e9
    clip = clip_of(both.value[~both.canary][:200], 200)
    found = clipped_tally_of(both._replace(value=struck), SHARES, 0.05, clip, 0.05, lower=False)
    assert found.harm[0] < np.log(20) and max(found.sums) < 1e6
    assert sum(found.units) == 7_800
    assert clip_of(np.array([0.0] * 5_000 + [7.0])) == Clip(0.0, 7.0, 0)  # all but one in a thousand alike


def test_nothing_is_said_before_the_canary_has_a_hundred() -> None:
    few = sold(np.random.default_rng(4), 300, 1, canary=0.01)
    found = clipped_tally_of(few, SHARES, 0.05, WIDE, 0.05, lower=False)
    assert (found.harm, found.no_worse, found.low, found.high) == ((0.0,), (0.0,), None, None)


def test_looked_at_again_and_again_equal_revenue_is_rarely_called_worse() -> None:
    rng = np.random.default_rng(5)
    runs, called = 150, 0
    clip = clip_of(rng.lognormal(0.0, 1.0, 5_000))
    for _ in range(runs):
        both = sold(rng, 8_000, 1)
        looks = [
            clipped_tally_of(Units(*(each[:n] for each in both)), SHARES, 0.05, clip, 0.05, lower=False)
            for n in range(1_000, 8_001, 1_000)
        ]
        called += max(each.harm[0] for each in looks) >= np.log(20)
    assert called / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_guards_on_metrics_are_read() -> None:
    money, ranged, cost = read_guards(
        "metric:revenue,metric:bought:0..1,metric:refund:0..50:lower", "metric:bought=0.1,metric:refund:lower=2"
    )
    assert (money.metric, margin_text(money), bound_of(money.metric)) == ("metric:revenue", "5%", float("inf"))
    assert (ranged.metric, ranged.margin, range_of(ranged.metric)) == ("metric:bought:0..1", 0.1, (0.0, 1.0))
    assert (cost.metric, cost.margin, lower_is_better(cost.metric)) == ("metric:refund:0..50:lower", 2.0, True)
    assert read_guards("metric:a:-5..5", "")[0].margin == pytest.approx(0.2)
    assert metric_of("metric:a:lower:0..2") == Metric("a", (0.0, 2.0), True)
    assert read_guards("metric:a:lower:0..2", "")[0].metric == "metric:a:0..2:lower"


@pytest.mark.parametrize(
    ("guards", "margins", "said"),
    [
        ("metric:", "", "names no column; write metric:NAME"),
        ("metric:a b", "", "names no column"),
        (
            "metric:a:5..1",
            "",
            "'5..1' of 'metric:a:5..1' is no range; write the least and the largest value, such as metric:a:0..100",
        ),
        ("metric:a:0..inf", "", "is no range"),
        ("metric:a:higher", "", "is no range"),
        ("metric:a,metric:a:0..1", "", "metric:a and metric:a:0..1 guard one column; leave one of them out"),
        ("metric:revenue", "metric:revenue=5", "a margin of metric:revenue needs a unit: 5 of what; write metric:revenue=5%"),
        ("metric:a:0..10", "metric:a=5%", "a margin of metric:a:0..10 is a difference, not 5%; write metric:a=0.2"),
        ("metric:a:0..10", "metric:a=11", "'metric:a=11' is no margin; write metric:a=0.2"),
        ("metric:a", "metric:a=200%", "is no margin; write metric:a=5%"),
        ("metric:a", "metric:b=2%", "there is a margin for metric:b, which is not guarded"),
    ],
)
def test_what_cannot_be_meant_is_one_line(guards: str, margins: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_guards(guards, margins)
    assert said in str(caught.value)
