"""Closed forms of plans beside simulations of the very tests: guards on answers, mean times, metrics and rejected requests."""

from __future__ import annotations

import numpy as np
import pytest
from plans import plan, rollout

from prodml_magics.rollouts.evidence import begin
from prodml_magics.rollouts.fold import Seen, fold
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.means import Units, log_lower, tally_of
from prodml_magics.rollouts.money import clip_of, clipped_tally_of
from prodml_magics.rollouts.planner import Traffic, rows_until_harm, rows_until_no_worse
from prodml_magics.rollouts.simulate import requests_with, simulated_rows
from prodml_magics.stats.sequential.block_pairs import log_mean_of

SHARE = 0.25
RUNS = 80
POWER = 0.8


def traffic() -> Traffic:
    rng = np.random.default_rng(0)
    return Traffic(
        requests=20_000,
        hours=1.0,
        failed=0,
        timed_out=0,
        run_ms=rng.lognormal(1.0, 0.4, 5_000),
        rejected=0.01,
        values={"score": rng.beta(2, 8, 5_000)},
        said={"class:fraud": 2_000},
    )


def looked(guard: str, effect: str, most: float) -> tuple[float, float]:
    """Planned and simulated requests until eight of ten have shown harm; for no effect "no worse"."""
    (guarded,), alone = read_guards(guard, ""), plan(steps=(25.0, 100.0), guards=read_guards(guard, ""))
    known, state = traffic(), rollout(alone)
    wanted = read_guards(guard, f"{guard}={effect}")[0] if effect else guarded
    if effect:
        planned = rows_until_harm(guarded, wanted, known, SHARE, alpha=0.05, guards=1, power=POWER)
    else:
        planned = rows_until_no_worse(guarded, known, SHARE, alpha=0.05, power=POWER)
        wanted = read_guards("fallback_rate", "")[0]
    rng, batch, found = np.random.default_rng(1), max(20, round(planned / 45)), []
    for _ in range(RUNS):
        evidence, seen, taken = begin(alone, 3, latencies=known.run_ms), Seen(), 0
        while taken < most * planned:
            evidence = latched(alone, fold(alone, evidence, requests_with(rng, SHARE, wanted, known, batch), seen))
            taken += batch
            if judge(state, evidence).harm if effect else evidence.passed:
                break
        found.append(taken)
    return planned, float(np.quantile(found, POWER))


@pytest.mark.parametrize(
    ("guard", "effect"),
    [
        ("score", "0.05"),
        ("score", ""),
        ("class:fraud", "200%"),
        ("class:fraud", ""),
        ("latency_mean", "25%"),
        ("rejected", "0.03"),
        ("error_rate", "0.01"),
        ("error_rate", ""),
    ],
)
def test_the_closed_form_is_within_a_fifth_of_what_is_simulated(guard: str, effect: str) -> None:
    planned, simulated = looked(guard, effect, 5.0)
    assert planned == pytest.approx(simulated, rel=0.2)


@pytest.mark.parametrize(
    ("guard", "worse"), [("metric:revenue", 0.25), ("metric:revenue:0..20", 1.0), ("metric:revenue:0..20", 0.0)]
)
def test_the_plan_of_a_metric_is_within_a_fifth_of_what_is_simulated(guard: str, worse: float) -> None:
    rng = np.random.default_rng(2)
    earlier = rng.lognormal(1.0, 0.5, 5_000)
    (guarded,), known = read_guards(guard, ""), traffic()._replace(values={guard: earlier}, labelled={guard: 0.5})
    if worse:
        wanted = read_guards(guard, f"{guard}={worse:.0%}" if guarded.relative else f"{guard}={worse}")[0]
        planned = rows_until_harm(guarded, wanted, known, SHARE, alpha=0.05, guards=1, power=POWER)
    else:
        planned = rows_until_no_worse(guarded, known, SHARE, alpha=0.05, power=POWER)
    units, found = planned / 2, []  # half of the requests have the metric
    factor = 1 - (worse if guarded.relative else worse / earlier.mean())
    for _ in range(RUNS):
        count = int(4 * units)
        canary = rng.random(count) < SHARE
        value = rng.choice(earlier, count) * np.where(canary, factor, 1.0)
        for taken in np.linspace(units / 20, count, 80).astype(int).tolist():
            some = Units(canary[:taken], np.zeros(taken, np.int64), value[:taken])
            if guarded.relative:
                tally = clipped_tally_of(some, (SHARE,), guarded.margin, clip_of(earlier), 0.05, lower=False)
            else:
                tally = tally_of(some._replace(value=np.clip(some.value, 0, 20)), (SHARE,), guarded.margin, 20.0, 0.05)
            shown = (
                log_mean_of(tally.no_worse)
                if not worse
                else log_lower(tally)
                if not guarded.relative
                else log_mean_of(tally.harm)
            )
            if shown >= np.log(20):
                break
        found.append(taken)
    assert units == pytest.approx(np.quantile(found, POWER), rel=0.2)


def test_an_effect_within_the_margin_is_never_seen_of_a_guard_on_both_sides() -> None:
    for guard in ("score", "class:fraud"):
        (guarded,) = read_guards(guard, "")
        assert rows_until_harm(guarded, guarded, traffic(), SHARE, alpha=0.05, guards=1, power=0.8) == float("inf")


def test_a_metric_that_never_came_cannot_be_planned() -> None:
    (guarded,) = read_guards("metric:revenue", "")
    assert rows_until_harm(guarded, guarded, traffic(), SHARE, alpha=0.05, guards=1, power=0.8) == float("inf")


def test_a_simulated_plan_has_answers_to_look_at() -> None:
    guards = read_guards("score,class:fraud,latency_mean,rejected", "score=0.02")
    chosen, effect = plan(steps=(25.0, 100.0), guards=guards), read_guards("score", "score=0.06")[0]
    planned = rows_until_harm(guards[0], effect, traffic(), SHARE, alpha=0.05, guards=4, power=0.8)
    found = simulated_rows(chosen, effect, traffic(), expected=planned, runs=20, power=0.8)
    assert planned / 2 < found < planned * 2


@pytest.mark.parametrize(
    ("guard", "worse", "values", "share"),
    [
        ("accuracy", "accuracy=0.04", (np.arange(5_000) % 20 > 0) * 1.0, 0.25),
        ("log_loss", "log_loss=0.2", np.random.default_rng(3).exponential(0.2, 5_000), 0.25),
        ("metric:bought:0..1", "metric:bought=0.04", (np.arange(5_000) % 10 == 0) * 1.0, 0.1),
        ("metric:refund:lower", "metric:refund=40%", np.random.default_rng(3).lognormal(1.0, 0.7, 5_000), 0.25),
    ],
)
def test_guards_on_labels_are_simulated_with_their_very_tests_and_as_late_as_labels_come(
    guard: str, worse: str, values: np.ndarray, share: float
) -> None:
    (guarded,), (wanted,) = read_guards(guard, ""), read_guards(guard, worse)
    known = traffic()._replace(values={guard: values}, labelled={guard: 0.5}, delays={guard: np.array([60.0, 120.0])})
    at_once = known._replace(delays={guard: np.zeros(1)})
    chosen = plan(steps=(share * 100, 100.0), guards=(guarded,))
    found = []
    for each in (known, at_once):
        planned = rows_until_harm(guarded, wanted, each, share, alpha=0.05, guards=1, power=0.5)
        found.append(simulated_rows(chosen, wanted, each, expected=planned, runs=60, power=0.5))
        assert planned == pytest.approx(found[-1], rel=0.2)
    assert found[0] - found[1] == pytest.approx(90 / 3600 * known.per_hour, abs=0.25 * found[1])


def test_while_no_label_has_come_those_that_vary_most_are_simulated() -> None:
    (guarded,) = read_guards("accuracy", "accuracy=0.1")
    planned = rows_until_harm(guarded, guarded, traffic(), SHARE, alpha=0.05, guards=1, power=POWER)
    chosen = plan(steps=(25.0, 100.0), guards=(guarded,))
    assert planned == pytest.approx(simulated_rows(chosen, guarded, traffic(), expected=planned, runs=40, power=POWER), rel=0.25)


def test_where_runs_are_slow_in_spells_ten_buckets_are_planned_and_simulated() -> None:
    (guarded,), (wanted,) = read_guards("latency_mean", ""), read_guards("latency_mean", "latency_mean=100%")
    known, chosen = traffic(), plan(steps=(25.0, 100.0), guards=(read_guards("latency_mean", "")))
    for memory, least in ((1.0, 0.0), (50.0, 2_500.0)):
        planned = rows_until_harm(guarded, wanted, known._replace(memory=memory), SHARE, alpha=0.05, guards=1, power=POWER)
        found = simulated_rows(chosen, wanted, known._replace(memory=memory), expected=planned, runs=10, power=POWER)
        assert planned >= least and found >= least and planned == pytest.approx(found, rel=0.25)
        assert rows_until_no_worse(guarded, known._replace(memory=memory), SHARE, alpha=0.05, power=POWER) >= least
