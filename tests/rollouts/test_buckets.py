"""Latency where each arm has slow spells of its own: buckets keep alpha where tests of runs do not, and see harm all the same."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from plans import NOON, plan, rollout
from scipy.signal import lfilter
from scipy.stats import binomtest

from prodml_magics.rollouts.buckets import BURN_IN, Buckets, add_to_buckets, buckets_for, dispersion, log_bucket_higher
from prodml_magics.rollouts.canary import Judgement, advance
from prodml_magics.rollouts.e_values import log_harm, log_no_worse
from prodml_magics.rollouts.evidence import Evidence, begin
from prodml_magics.rollouts.fold import Requests, Seen, fold, series_of
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.judge import blind, judge, latched
from prodml_magics.rollouts.verdicts import verdicts
from prodml_magics.stats.sequential.exceedances import LEVELS
from prodml_magics.stats.sequential.memory import memory_of
from prodml_magics.stats.sequential.mixture import log_mean_exp

SHARE, LOOK, RUNS = 0.25, 250, 60
GUARDED = plan(steps=(25.0, 100.0), guards=read_guards("latency_p95,latency_mean", ""))


def spells(rng: np.random.Generator, count: int, stays: float) -> np.ndarray:
    """Log-times: half of the variance stays for a while."""
    weather = lfilter([1], [1, -stays], rng.normal(0, np.sqrt(1 - stays**2), count + 500))[500:]
    return np.asarray(np.sqrt(0.18) * weather)


def arms(seed: int, *, own: bool, stays: float = 0.98, count: int = 8_000, slow: float = 1.0) -> tuple[np.ndarray, Requests]:
    """Times of earlier runs, and runs of both arms, each with spells of its own or all with the same."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, np.sqrt(0.18), (2, count))
    before = np.exp(1.4 + spells(rng, count, stays) + noise[0])
    weather = spells(rng, count, stays), spells(rng, count, stays)
    canary = rng.random(count) < SHARE
    log_time = np.where(canary, weather[own], weather[0]) + noise[1]
    took = np.exp(1.4 + log_time) * np.where(canary, slow, 1.0)
    return before, Requests(canary, np.zeros(count, np.int64), np.full(count, 200), took, np.ones(count, np.int64), [""] * count)


def looks(before: np.ndarray, stream: Requests, *, bucketed: bool = True) -> tuple[dict[str, int], Evidence]:
    """At which look each guard first showed harm, and the evidence at the end."""
    evidence, seen, found = begin(GUARDED, 3, latencies=before), Seen(), {}
    if not bucketed:
        evidence = replace(evidence, buckets=None)
    for number, start in enumerate(range(0, len(stream.key), LOOK)):
        part = slice(start, start + LOOK)
        batch = Requests(*(each[part] for each in stream[:6]))  # type: ignore[arg-type]
        evidence = latched(GUARDED, fold(GUARDED, evidence, batch, seen))
        for metric, log_e in log_harm(GUARDED, evidence).items():
            if log_e >= np.log(20):
                found.setdefault(metric, number)
    return found, evidence


def test_false_alarms_stay_within_alpha_at_every_look_where_tests_of_runs_fail() -> None:
    streams = [arms(seed, own=True) for seed in range(RUNS)]
    by_buckets, by_runs = ([looks(*each, bucketed=which)[0] for each in streams] for which in (True, False))
    for metric in ("latency_p95", "latency_mean"):
        kept, broken = (sum(metric in found for found in each) for each in (by_buckets, by_runs))
        assert binomtest(kept, RUNS, 0.05, alternative="greater").pvalue > 0.05
        assert binomtest(broken, RUNS, 0.05, alternative="greater").pvalue < 1e-4


def test_a_slower_candidate_is_seen_through_its_own_spells_and_never_called_no_worse() -> None:
    for seed in range(5):
        found, evidence = looks(*arms(seed, own=True, slow=1.8))
        assert set(found) == {"latency_p95", "latency_mean"} and min(found.values()) >= BURN_IN - 1
        assert evidence.passed == ()


def test_the_smaller_evidence_counts_whosever_the_spells_are() -> None:
    """One of the two is an e-value under either, so that the smaller one is under both."""
    guard, clear = GUARDED.guards[0], 0
    for own in (False, True):
        for slow in (1.0, 1.8):
            evidence = looks(*arms(7, own=own, slow=slow))[1]
            assert evidence.buckets is not None
            alone, places = replace(evidence, buckets=None), [series_of(GUARDED).index(f"slow {level:g}") for level in LEVELS]
            harm = log_harm(GUARDED, evidence)[guard.metric]
            assert harm <= log_harm(GUARDED, alone)[guard.metric]
            assert harm <= log_mean_exp(log_bucket_higher(evidence.buckets, places))
            assert log_no_worse(guard, GUARDED, evidence) <= log_no_worse(guard, GUARDED, alone)
            clear += harm > np.log(1000)
    assert clear == 2


def test_a_few_earlier_runs_tell_that_there_are_spells() -> None:
    for seed in range(10):
        assert begin(GUARDED, 3, latencies=arms(seed, own=True)[0][:250]).buckets is not None


def test_what_both_arms_share_is_known_by_its_dispersion_and_its_mean_time_is_left_to_the_tests_of_runs() -> None:
    shared, own = looks(*arms(1, own=False))[1], looks(*arms(1, own=True))[1]
    assert shared.buckets is not None and own.buckets is not None
    assert dispersion(shared.buckets)[0] < 1.3 < 2 < dispersion(own.buckets)[0]
    alone = replace(shared, buckets=None)
    assert log_harm(GUARDED, shared)["latency_mean"] == log_harm(GUARDED, alone)["latency_mean"]
    assert log_no_worse(GUARDED.guards[1], GUARDED, shared) == log_no_worse(GUARDED.guards[1], GUARDED, alone)
    said = {each.metric: each.note for each in verdicts(rollout(GUARDED), own)}
    assert (
        "each version has slow spells of its own (dispersion" in said["latency_mean"] and "asymptotically" in said["latency_mean"]
    )


def test_traffic_without_memory_has_no_buckets() -> None:
    assert begin(GUARDED, 3, latencies=np.random.default_rng(0).lognormal(1.4, 0.6, 5_000)).buckets is None
    assert buckets_for(1.2) is None and buckets_for(20.0) == Buckets(length=100)


def test_a_step_is_not_left_while_harm_cannot_be_seen() -> None:
    before, stream = arms(2, own=True)
    few = Requests(*(each[:LOOK] for each in stream[:6]))  # type: ignore[arg-type]
    evidence = fold(GUARDED, begin(GUARDED, 3, latencies=before), few, Seen())
    assert blind(GUARDED, evidence) and judge(rollout(GUARDED), evidence).blind
    assert "slow runs come in spells: 1 of 10 buckets of" in verdicts(rollout(GUARDED), evidence)[0].note
    early, later = rollout(plan(bake=0.0)), NOON.replace(hour=13)
    assert advance(early, Judgement(requests=500, blind=True), later) is None
    assert advance(early, Judgement(requests=500), later) is not None
    failures = plan(guards=read_guards("error_rate", ""))
    assert not blind(failures, fold(failures, begin(failures, 3, latencies=before), few, Seen()))


def test_a_difference_of_buckets_is_that_of_a_slow_loop_and_survives_the_ledger() -> None:
    rng = np.random.default_rng(3)
    buckets, kept, apart = Buckets(length=40), ([], []), []  # type: ignore[var-annotated]
    for _ in range(30):
        canary, sizes, value = rng.random(25) < 0.3, rng.integers(0, 2, 25), rng.random((25, 2))
        buckets = add_to_buckets(buckets, canary, sizes, np.where(canary[:, None], value, 2 * value))
        buckets = msgspec.json.decode(msgspec.json.encode(buckets), type=Buckets)
        for arm, size, each in zip(canary, sizes, value[:, 0], strict=True):
            kept[size].append((arm, each if arm else 2 * each))
        sides = [([v for arm, v in part if arm], [v for arm, v in part if not arm]) for part in kept]
        if sum(map(len, kept)) >= 40 and any(mine and theirs for mine, theirs in sides):
            both = [(mine, theirs) for mine, theirs in sides if mine and theirs]
            weights = [len(mine) * len(theirs) / (len(mine) + len(theirs)) for mine, theirs in both]
            apart.append(np.average([np.mean(mine) - np.mean(theirs) for mine, theirs in both], weights=weights))
            kept = ([], [])
    assert buckets.count == len(apart) > 10
    assert buckets.means[0] == pytest.approx(np.mean(apart))
    assert buckets.squares[0] / (buckets.count - 1) == pytest.approx(np.var(apart, ddof=1))


@pytest.mark.parametrize("stays", [0.0, 0.5, 0.9])
def test_memory_is_that_of_the_series(stays: float) -> None:
    rng = np.random.default_rng(4)
    series = lfilter([1], [1, -stays], rng.normal(size=50_000))
    assert memory_of(np.asarray(series)) == pytest.approx((1 + stays) / (1 - stays), rel=0.2)
    assert memory_of(np.ones(5_000)) == memory_of(np.arange(10.0)) == 1.0
