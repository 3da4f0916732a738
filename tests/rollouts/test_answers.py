"""Guards on answers and on mean times: scores, classes, clipped means; oracles, false alarms, and what they say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from plans import LADDER, earlier, plan, rollout, stream
from scipy.integrate import quad
from scipy.stats import norm

from prodml_magics.errors import UsageError
from prodml_magics.rollouts.durations import Durations, add_durations, beyond_floor, beyond_margin, shift
from prodml_magics.rollouts.e_values import log_harm, log_no_worse
from prodml_magics.rollouts.evidence import FLOOR, Evidence, begin
from prodml_magics.rollouts.fold import Seen, fold
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.means import Units, tally_of
from prodml_magics.rollouts.moved import Moved, Scored, add_scores, interval, log_moved, log_within
from prodml_magics.rollouts.verdicts import verdicts
from prodml_magics.stats.sequential.block_pairs import STAKES
from prodml_magics.stats.sequential.clipped_mean import BURN_IN, Difference, Moments, difference, half_width, log_higher

SHARES = tuple(step / 100 for step in LADDER)
GUARDED = plan(guards=read_guards("score,class:fraud,latency_mean", ""))
FAR = np.log(20)


def scores(rng: np.random.Generator, count: int, step: int, apart: float = 0.0) -> Scored:
    canary = rng.random(count) < SHARES[step]
    return Scored(canary, np.full(count, step), np.clip(rng.beta(2, 8, count) + apart * canary, 0, 1))


def test_scores_in_parts_equal_a_slow_loop_over_blocks() -> None:
    rng = np.random.default_rng(0)
    parts = [scores(rng, 40, step) for step in (1, 2, 2, 3, 1, 3, 2)]
    moved = Moved()
    for part in parts:
        moved = add_scores(moved, part, SHARES, 0.02)
    expected, blocks = np.zeros((2, len(STAKES))), 0
    for step, size in ((1, 19), (2, 3), (3, 1)):
        rows = [(c, v) for part in parts for c, s, v in zip(*part, strict=True) if s == step]
        canary, control = [v for c, v in rows if c], [v for c, v in rows if not c]
        for index in range(min(len(canary), len(control) // size)):
            d = canary[index] - sum(control[index * size : (index + 1) * size]) / size
            expected += [[np.log(1 + stake * (sign * d - 0.02) / 1.02) for stake in STAKES] for sign in (1, -1)]
            blocks += 1
    assert blocks > 60 and sum(moved.differences) == blocks and sum(moved.units) == 280
    assert np.array(moved.beyond) == pytest.approx(expected)
    assert moved.begun == () and log_moved(moved) == pytest.approx(np.log(0.5 * np.exp(expected).mean() + 0.5))


def test_the_interval_of_the_score_is_that_of_labelled_means_and_never_narrower() -> None:
    batch = scores(np.random.default_rng(1), 4_000, 3, apart=0.05)
    tally = tally_of(Units(batch.canary, batch.step, batch.score), SHARES, 0.02, 1.0, 0.05)
    low, high = interval(add_scores(Moved(), batch, SHARES, 0.02), 0.05)
    assert low <= tally.low < 0.05 < tally.high <= high
    assert (low, high) == pytest.approx((tally.low, tally.high), abs=1 / 400)


@pytest.mark.parametrize("sign", [1, -1])
def test_at_the_margin_the_mean_capital_over_all_answers_is_at_most_one(sign: int) -> None:
    """Two blocks at half the traffic, scores 0 or 1, the canary's mean moved by the margin exactly."""
    harm = within = 0.0
    for rows in product((0.0, 1.0), repeat=4):
        weight = np.prod([p if row else 1 - p for p, row in zip((0.5 + sign * 0.1, 0.5) * 2, rows, strict=True)])
        batch = Scored(np.array([True, False] * 2), np.full(4, 3), np.array(rows))
        moved = add_scores(Moved(), batch, SHARES, 0.1)
        harm += weight * np.exp(log_moved(moved))
        within += weight * np.exp(log_within(moved))
    assert harm < 1 + 1e-12 and within < 1 + 1e-12


@pytest.mark.parametrize("ratio", [1.5, 1 / 1.5, 1.0])
def test_over_all_paths_of_arms_a_class_within_its_margin_earns_nothing(ratio: float) -> None:
    guards = plan(guards=read_guards("class:fraud", "class:fraud=50%"))
    shares = (0.05, 0.05, 0.25, 0.25, 0.5, 0.5)
    mean = within = 0.0
    for path in product((False, True), repeat=len(shares)):
        theta = [share * ratio / (share * ratio + 1 - share) for share in shares]
        weight = np.prod([t if mine else 1 - t for t, mine in zip(theta, path, strict=True)])
        counts = tuple(
            tuple(sum(mine == bool(arm) for mine, share in zip(path, shares, strict=True) if share == each) for each in SHARES)
            for arm in (0, 1)
        )
        evidence = Evidence(rollout=3, shares=SHARES, requests=counts, counts=(counts,))
        mean += weight * (2 * np.exp(log_harm(guards, evidence)["class:fraud"]) - 1)  # half of the stake waits for beginnings
        within += weight * np.exp(log_no_worse(guards.guards[0], guards, evidence))
    assert mean < 1 + 1e-12
    if ratio != 1.0:
        assert within < 1 + 1e-12


@pytest.mark.parametrize(("d", "v", "reach"), [(0.3, 0.01, 0.1), (-0.2, 0.004, 0.1), (0.0, 0.2, 0.5), (2.0, 0.5, 0.3)])
def test_the_mixture_equals_its_integral(d: float, v: float, reach: float) -> None:
    def bet(mean: float) -> float:
        return float(2 * norm.pdf(mean, scale=reach) * np.exp(mean * d / v - mean**2 / (2 * v)))

    assert log_higher(Difference(d, v, reach)) == pytest.approx(np.log(quad(bet, 0, 12 * reach)[0]), abs=1e-6)


def test_the_sequence_ends_where_the_two_sided_mixture_reaches_one_over_alpha() -> None:
    v, reach = 0.02, 0.3
    d = half_width(Difference(0.0, v, reach), 0.05)
    found = quad(lambda mean: norm.pdf(mean, scale=reach) * np.exp(mean * d / v - mean**2 / (2 * v)), -5, 5)[0]
    assert found == pytest.approx(20.0)


def test_far_below_nothing_is_left_and_nothing_breaks() -> None:
    assert log_higher(Difference(-1e6, 1e-9, 0.1)) == -700.0
    assert log_higher(Difference(0.0, 0.0, 0.0)) == 0.0 and half_width(Difference(0.0, 0.0, 0.0), 0.05) == np.inf


def test_moments_in_parts_are_those_of_all() -> None:
    values = np.random.default_rng(2).lognormal(1, 1, 300)
    found = Moments.of(values[:100]).plus(Moments()).plus(Moments.of(values[100:250])).plus(Moments.of(values[250:]))
    assert found == pytest.approx((300, values.mean(), ((values - values.mean()) ** 2).sum()))
    assert difference([(found, Moments.of(values[: BURN_IN - 1]))]).variance == 0.0


def test_times_are_clipped_and_lengthened_and_compared_within_their_stratum() -> None:
    rng = np.random.default_rng(3)
    canary, took, stratum = rng.random(4_000) < 0.25, rng.lognormal(1.4, 0.6, 4_000), rng.integers(0, 2, 4_000)
    took = took * np.where(stratum == 1, 10, 1)
    found: dict[str, Durations] = {}
    for part in np.array_split(np.arange(4_000), 7):
        found = add_durations(found, canary[part], took[part], stratum[part], clip=50.0, margin=0.2, floor=FLOOR)
    for way, lifted, sign in (
        (shift, lambda x: x, 1),
        (beyond_floor, lambda x: x * 1.05 + 0.25, 1),
        (beyond_margin, lambda x: np.maximum(x * 1.2, x * 1.05 + 0.25), -1),
    ):
        apart, weights = [], []
        for each in (0, 1):
            mine, theirs = took[canary & (stratum == each)], took[~canary & (stratum == each)]
            apart.append(np.minimum(mine, 50).mean() - np.minimum(lifted(theirs), 50).mean())
            weights.append(1 / (1 / len(mine) + 1 / len(theirs)))
        assert way(found).mean == pytest.approx(sign * np.average(apart, weights=weights))
        assert way(found).variance > 0


def look(rng: np.random.Generator, evidence: Evidence, seen: Seen, step: int, **how: object) -> Evidence:
    return latched(GUARDED, fold(GUARDED, evidence, stream(rng, 1_000, step, **how), seen))  # type: ignore[arg-type]


def test_alike_versions_are_seldom_worse_though_levels_rise_with_the_share() -> None:
    worse: list[str] = []
    for run in range(40):
        rng = np.random.default_rng(run)
        evidence, seen = begin(GUARDED, 3, latencies=earlier(rng)), Seen()
        named: set[str] = set()
        for step, rate in ((0, 0.005), (1, 0.01), (2, 0.02), (3, 0.05)):
            for _ in range(4):
                evidence = look(rng, evidence, seen, step, frauds=(rate, rate))
                named |= {metric for metric, e in log_harm(GUARDED, evidence).items() if e >= FAR}
        worse += named
    assert all(worse.count(guard.metric) <= 5 for guard in GUARDED.guards)  # 40 runs at 5 %: more than 5 in 14 of 1,000


@pytest.mark.parametrize(
    ("metric", "how"),
    [
        ("class:fraud", {"frauds": (0.05, 0.005)}),
        ("class:fraud", {"frauds": (0.02, 0.08)}),
        ("score", {"scores": (2.0, 3.0)}),
        ("score", {"scores": (2.0, 1.2)}),
        ("latency_mean", {"slow": 1.5}),
    ],
)
def test_what_moves_too_far_is_named(metric: str, how: dict[str, object]) -> None:
    rng = np.random.default_rng(4)
    evidence, seen = begin(GUARDED, 3, latencies=earlier(rng)), Seen()
    for _ in range(12):
        evidence = look(rng, evidence, seen, 2, **how)
    assert judge(rollout(GUARDED, step=2), evidence).harm == (metric,)
    said = {each.metric: each for each in verdicts(rollout(GUARDED, step=2), evidence)}
    assert {name: each.verdict for name, each in said.items() if each.verdict == "worse"} == {metric: "worse"}
    assert "asymptotic, of times clipped at" in said["latency_mean"].note
    assert said["score"].note == "it may move to neither side by more than its margin"


def test_alike_versions_are_shown_to_be_no_worse_and_never_better_by_a_score() -> None:
    rng = np.random.default_rng(5)
    evidence, seen = begin(GUARDED, 3, latencies=earlier(rng)), Seen()
    for _ in range(12):
        evidence = look(rng, evidence, seen, 3)
    assert judge(rollout(GUARDED, step=3), evidence).no_worse
    score, fraud, mean = verdicts(rollout(GUARDED, step=3), evidence)
    assert {each.verdict for each in (score, fraud, mean)} == {"no worse"}
    assert score.low < 0 < score.high and score.of == "difference" and score.canary_mean == pytest.approx(0.2, abs=0.01)  # type: ignore[operator]
    assert mean.low < 0 < mean.high and mean.of == "difference" and fraud.of == "ratio"  # type: ignore[operator]


def test_a_key_counts_once_and_failed_requests_have_no_score() -> None:
    rng = np.random.default_rng(6)
    batch = stream(rng, 100, 3, keys=[f"k{index % 20}" for index in range(100)])
    score = batch.score
    assert score is not None
    score[:20] = np.nan  # none of them counts: the next request of the key does
    found = fold(GUARDED, begin(GUARDED, 3), batch, Seen())
    assert found.moved is not None and sum(found.moved.units) == 20
    assert sum(found.moved.sums) == pytest.approx(score[20:40].sum())


@pytest.mark.parametrize(
    ("guards", "margins", "message"),
    [
        ("class:", "", "'class:' is no guard; guards are error_rate, .*score, class:NAME"),
        ("class:fraud", "class:fraud=0.01", "a margin of class:fraud needs a unit: 0.01 of what; write class:fraud=50%"),
        ("latency_mean", "latency_mean=2", "needs a unit: 2 of what; write latency_mean=20%"),
        ("score", "score=20%", "a margin of score is a difference, not 20%; write score=0.02"),
        ("score", "score=2", "'score=2' is no margin; write score=0.02"),
    ],
)
def test_what_cannot_be_meant_is_refused(guards: str, margins: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_guards(guards, margins)
