"""How often rollouts decide wrongly and how soon they decide rightly, beside tests of fixed size that are peeked at.

python tests/benchmarks/rollouts.py [--runs 2000] [--only NAME …]

Streams are simulated: binomial failures, log-normal run times (sigma 0.6), base rates that rise with the share. Every share is printed
with its 95 % binomial interval. Names: alarms, ladder, answers, labelled, spells, power, table, bake, speed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from scipy.signal import lfilter
from scipy.stats import binomtest, mannwhitneyu, norm

sys.path.insert(0, str(Path(__file__).parents[1]))

from plans import earlier, plan, rollout, stream, until_harm

from prodml_magics.rollouts.baking import Before
from prodml_magics.rollouts.e_values import log_harm
from prodml_magics.rollouts.evidence import begin
from prodml_magics.rollouts.fold import Requests, Seen, fold, fold_live
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.labels import with_units
from prodml_magics.rollouts.means import Units
from prodml_magics.rollouts.money import clip_of
from prodml_magics.rollouts.watched import unwell
from prodml_magics.stats.sequential.onset import BEGINNINGS, log_over_onsets
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, log_e_value
from prodml_magics.wire.rollouts import Guard, RolloutPlan

ALPHA = 0.05
EIGHT = "error_rate,timeout_rate,fallback_rate,latency_p50,latency_p75,latency_p90,latency_p95,latency_p99"
"""Every guard that needs no labels."""


BY_ANSWER = ("score", "class:fraud", "latency_mean")


def shown(hits: int, runs: int) -> str:
    """A share with its interval."""
    interval = binomtest(hits, runs).proportion_ci()
    return f"{hits / runs:.4f} [{interval.low:.4f}, {interval.high:.4f}] of {runs}"


def batches(
    rng: np.random.Generator, runs: int, looks: int, share: float, rate: float, ratio: float = 1.0
) -> tuple[np.ndarray, ...]:
    """Canary rows, canary failures and failures of both arms [runs, looks], cumulated; 100 requests a look."""
    rows = rng.binomial(100, share, (runs, looks))
    canary = rng.binomial(rows, min(rate * ratio, 1.0))
    control = rng.binomial(100 - rows, rate)
    return np.cumsum(rows, axis=1), np.cumsum(canary, axis=1), np.cumsum(canary + control, axis=1)


def with_onsets(rows: np.ndarray, canary: np.ndarray, both: np.ndarray, share: float) -> np.ndarray:
    """Log e-value [runs, looks] of the harm test as rollouts use it."""
    each = [log_e_value(canary, both[..., None], [share], MORE)]
    for beginning in BEGINNINGS:
        begun = rows >= beginning
        first = begun.argmax(axis=1)[:, None]
        at = np.where(begun.any(axis=1)[:, None], first, rows.shape[1] - 1)
        parts = [np.maximum(full - np.take_along_axis(full, at, axis=1), 0) for full in (canary, both)]
        late = log_e_value(parts[0], parts[1][..., None], [share], MORE)
        each.append(np.where(begun, late, 0.0))
    return np.asarray(log_over_onsets(np.stack(each, axis=-1)))


def alarms(runs: int) -> None:
    """A/A, looked at after every 100 of 50,000 requests: ever worse, ever better, by share and failure rate."""
    print("A/A, one guard, 500 looks: ever 'worse' (with onsets), ever 'better'")
    rng = np.random.default_rng(0)
    for share in (0.01, 0.05, 0.25, 0.5):
        for rate in (0.001, 0.005, 0.02):
            worse = better = 0
            for _ in range(0, runs, 100):
                rows, canary, both = batches(rng, 100, 500, share, rate)
                worse += int((with_onsets(rows, canary, both, share) >= np.log(1 / ALPHA)).any(axis=1).sum())
                better += int((log_e_value(canary, both[..., None], [share], FEWER) >= np.log(1 / ALPHA)).any(axis=1).sum())
            print(f"  {share:5.0%} rate {rate:6.1%}   worse {shown(worse, runs)}   better {shown(better, runs)}", flush=True)


def ladder(runs: int) -> None:
    """A/A through the whole evidence, share and base rate rising together: the decision, and each guard by itself."""
    for name, chosen in (("default guards", plan()), ("8 guards", plan(guards=read_guards(EIGHT, "")))):
        rng = np.random.default_rng(1)
        harm = mismatch = passed = 0
        alone: dict[str, int] = {}
        for _ in range(runs):
            evidence, seen = begin(chosen, 3, latencies=earlier(rng)), Seen()
            hit, worse = False, set[str]()
            for step, rate in ((0, 0.002), (1, 0.005), (2, 0.01), (3, 0.02)):
                for _ in range(10):
                    evidence = latched(chosen, fold(chosen, evidence, stream(rng, 500, step, failing=(rate, rate)), seen))
                    hit = hit or bool(judge(rollout(chosen, step=step), evidence).harm)
                    worse |= {metric for metric, e in log_harm(chosen, evidence).items() if e >= np.log(1 / chosen.alpha)}
            harm += hit
            mismatch += evidence.mismatch
            passed += len(evidence.passed) == len(chosen.guards)
            for metric in worse:
                alone[metric] = alone.get(metric, 0) + 1
        print(f"A/A, {name}, ladder 1/5/25/50 %, 20,000 requests, 40 looks: rolled back {shown(harm, runs)}")
        print(f"  split called unsound {shown(mismatch, runs)}; no worse on every guard by the end {shown(passed, runs)}")
        for metric in log_harm(chosen, evidence):  # all latency guards share one e-value against "no slower"
            print(f"  {metric} alone ever worse {shown(alone.get(metric, 0), runs)}", flush=True)


def answers(runs: int) -> None:
    """Guards on answers and mean times through a ladder whose levels rise: ever worse, ever no worse; alike and just at the margin."""
    chosen = plan(guards=read_guards("score,class:fraud,latency_mean", ""))
    for name, how in (
        ("alike", lambda rate: {"frauds": (rate, rate)}),
        ("at the margin", lambda rate: {"frauds": (rate, 1.5 * rate), "slow": 1.2, "scores": (2.0, 0.22 * 8 / 0.78)}),
        ("beyond it", lambda rate: {"frauds": (rate, 3 * rate), "slow": 1.5, "scores": (2.0, 3.0)}),
    ):
        rng = np.random.default_rng(6)
        worse, passed = dict.fromkeys(BY_ANSWER, 0), dict.fromkeys(BY_ANSWER, 0)
        for _ in range(runs):
            evidence, seen, named = begin(chosen, 3, latencies=earlier(rng)), Seen(), set[str]()
            for step, rate in ((0, 0.005), (1, 0.01), (2, 0.02), (3, 0.05)):
                for _ in range(10):
                    evidence = latched(chosen, fold(chosen, evidence, stream(rng, 500, step, **how(rate)), seen))
                    named |= {metric for metric, e in log_harm(chosen, evidence).items() if e >= np.log(1 / chosen.alpha)}
            for metric in BY_ANSWER:
                worse[metric] += metric in named
                passed[metric] += metric in evidence.passed
        print(f"{name}, ladder 1/5/25/50 %, 20,000 requests, 40 looks")
        for metric in BY_ANSWER:
            print(f"  {metric:12} worse {shown(worse[metric], runs)}   no worse {shown(passed[metric], runs)}", flush=True)


def labelled(runs: int) -> None:
    """Guards on labels and metrics through a ladder whose levels fall: ever worse, ever no worse; alike and just at the margin."""
    guards = read_guards("accuracy,log_loss,metric:bought:0..1,metric:revenue", "")
    chosen, levels = plan(guards=guards), (0.95, 0.93, 0.9, 0.85)
    for name, beyond in (("alike", 0.0), ("at the margin", 1.0)):
        rng = np.random.default_rng(7)
        worse, passed = ({guard.metric: 0 for guard in guards} for _ in range(2))
        for _ in range(runs):
            for guard in guards:
                found = _with_labels(rng, chosen, guard, levels, beyond)
                worse[guard.metric] += found[0]
                passed[guard.metric] += found[1]
        print(f"{name}, ladder 1/5/25/50 %, 20,000 labelled requests, 40 looks")
        for guard in guards:
            metric = guard.metric
            print(f"  {metric:18} worse {shown(worse[metric], runs)}   no worse {shown(passed[metric], runs)}", flush=True)


def _with_labels(
    rng: np.random.Generator, chosen: RolloutPlan, guard: Guard, levels: tuple[float, ...], beyond: float
) -> tuple[bool, bool]:
    """Whether a guard ever says worse, and no worse, where the canary is worse by `beyond` margins."""
    each = 5_000
    step = np.repeat(np.arange(len(levels)), each)
    canary = rng.random(len(step)) < np.array([share / 100 for share in chosen.steps])[step]
    level = np.array(levels)[step]
    lost = beyond * guard.margin * canary
    if guard.metric == "accuracy":
        value = (rng.random(len(step)) < level - lost) * 1.0
    elif guard.metric == "log_loss":
        value = -np.minimum(rng.exponential(1 - level) + lost, 3.0)
    elif guard.relative:
        value = rng.lognormal(2.0 + level, 0.5) * (1 - lost)
    else:
        value = (rng.random(len(step)) < 1 - level - np.minimum(lost, 1 - level)) * 1.0
    evidence, clip = begin(chosen, 3), clip_of(rng.lognormal(2.95, 0.5, 5_000))
    worse = False
    for taken in range(each // 10, len(step) + 1, each // 10):
        units = Units(canary[:taken], step[:taken], value[:taken])
        evidence = with_units(chosen, guard, evidence, units, lambda: clip, interval=False)
        evidence = latched(chosen, evidence)
        worse = worse or log_harm(chosen, evidence)[guard.metric] >= np.log(1 / ALPHA)
    return worse, guard.metric in evidence.passed


def spells(runs: int) -> None:
    """A/A whose run times stay slow or fast for a while (half of the log-variance, AR(1)), in both arms alike or in each by itself."""
    chosen = plan(guards=read_guards("latency_p99,latency_mean", ""), steps=(1.0, 5.0, 25.0, 100.0))
    few = max(20, runs // 10)
    print(f"20,000 requests, a look every 500, {few} rollouts each: ever 'worse' as rollouts decide | by runs alone")
    for stays in (0.0, 0.9, 0.99):
        for step, share in ((1, 0.05), (2, 0.25)):
            for whose in ("shared", "own"):
                found = [_through_spells(seed, chosen, step, share, stays, own=whose == "own") for seed in range(few)]
                for metric in ("latency_p99", "latency_mean"):
                    kept, alone = (sum(metric in each[which] for each in found) for which in (0, 1))
                    what = f"AR {stays} {whose:6} {share:4.0%} {metric:12}"
                    print(f"  {what} {shown(kept, few)} | {shown(alone, few)}", flush=True)
    for whose in ("shared", "own"):
        for stays in (0.0, 0.9, 0.99):
            for step, share, slow, look in ((0, 0.01, 3.0, 100), (2, 0.25, 3.0, 100), (2, 0.25, 1.3, 500)):
                seeds = range(few // 4)
                found = [
                    _through_spells(seed, chosen, step, share, stays, own=whose == "own", slow=slow, look=look) for seed in seeds
                ]
                for metric in ("latency_p99", "latency_mean"):
                    kept, alone = (median([each[which].get(metric, np.inf) for each in found]) for which in (0, 1))
                    print(f"  AR {stays} {whose:6} {share:4.0%}, {slow} times as slow, {metric:12} {kept} | {alone}", flush=True)


def _through_spells(
    seed: int, chosen: RolloutPlan, step: int, share: float, stays: float, *, own: bool, slow: float = 1.0, look: int = 500
) -> tuple[dict[str, int], dict[str, int]]:
    """Requests until each guard is ever worse, with buckets and without."""
    rng, count = np.random.default_rng(seed), 20_000
    weather = [lfilter([1], [1, -stays], rng.normal(0, np.sqrt(1 - stays**2), count + 2_000))[2_000:] for _ in range(3)]
    times = [np.exp(1.4 + np.sqrt(0.18) * (each + rng.normal(size=count))) for each in weather]
    canary = rng.random(count) < share
    took = np.where(canary, slow, 1.0) * (np.where(canary, times[1], times[0]) if own else times[0])
    evidence = begin(chosen, 3, latencies=times[2])
    found: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for which, each in enumerate((evidence, replace(evidence, buckets=None))):
        for start in range(0, count, look):
            part, seen = slice(start, start + look), Seen()
            status, ones = np.full(look, 200), np.ones(look, np.int64)
            each = fold(chosen, each, Requests(canary[part], ones * step, status, took[part], ones, [""] * look), seen)
            for metric, log_e in log_harm(chosen, each).items():
                if log_e >= np.log(1 / ALPHA):
                    found[which].setdefault(metric, start + look)
    return found


def power(runs: int) -> None:
    """Requests until harm is shown, beside a fixed-sample test with 80 % power at the same alpha."""
    rng = np.random.default_rng(2)
    parts = [batches(rng, 100, 1500, 0.05, 0.005, 2.0) for _ in range(0, min(runs, 500), 100)]
    found = np.concatenate([first(with_onsets(*each, 0.05) >= np.log(1 / ALPHA), 100) for each in parts])
    needed = fixed_sample(0.05, 0.005, 2.0)
    print(f"doubled failures (0.5 %) at 5 %, fixed sample {needed:,.0f} requests")
    print(f"  guard alone: {median(found)}, ratio {np.median(found) / needed:.2f}")
    few = max(20, runs // 40)
    eight = read_guards(EIGHT, "")
    for name, chosen in (("2 default guards", plan()), (f"{len(eight)} guards", plan(guards=eight))):
        found = [until_harm(rng, chosen, 1, 500, 150_000, failing=(0.005, 0.01)) for _ in range(few)]
        print(f"  {name}: {median(found)}, ratio {np.median(found) / needed:.2f} ({few} runs)", flush=True)
    for name, chosen in (("2 default guards", plan()), (f"{len(eight)} guards", plan(guards=eight))):
        found = [until_harm(rng, chosen, 0, 25, 5_000, slow=3.0) for _ in range(few * 2)]
        print(f"three times slower at 1 %, {name}: {median(found)} ({few * 2} runs)", flush=True)


def fixed_sample(share: float, rate: float, ratio: float) -> float:
    """Requests of a one-sided z-test with 80 % power."""
    pooled = rate * (1 - share + share * ratio)
    calm, doubled = pooled * (1 / share + 1 / (1 - share)), rate * ratio / share + rate / (1 - share)
    return float((norm.isf(ALPHA) * calm**0.5 + norm.isf(0.2) * doubled**0.5) ** 2 / (rate * (ratio - 1)) ** 2)


def first(hit: np.ndarray, batch: int) -> np.ndarray:
    return np.where(hit.any(axis=1), (hit.argmax(axis=1) + 1) * batch, np.inf)


def median(found: object) -> str:
    half, most = np.quantile(np.asarray(found), [0.5, 0.9], method="higher")
    return f"median {half:,.0f} requests, nine of ten by {most:,.0f}"


def table(runs: int) -> None:
    """The same streams, five ways of looking: false alarms, and requests until a doubled rate is seen."""
    rng = np.random.default_rng(3)
    share, rate, looks = 0.05, 0.02, 500
    print("5 % share, 2 % failures, a look every 100 of 50,000 requests; false alarms | median requests to see a doubled rate")
    calm, doubled = ([batches(rng, 100, looks, share, rate, ratio) for _ in range(0, runs, 100)] for ratio in (1.0, 2.0))
    ways: dict[str, Callable[..., np.ndarray]] = {
        "e-value with onsets": lambda *each: with_onsets(*each, share) >= np.log(1 / ALPHA),
        "e-value": lambda rows, canary, both: log_e_value(canary, both[..., None], [share], MORE) >= np.log(1 / ALPHA),
        "z-test peeked at": lambda *each: z_values(*each) >= norm.isf(ALPHA),
        "z-test, Bonferroni": lambda *each: z_values(*each) >= norm.isf(ALPHA / looks),
        "z-test once, at the end": lambda *each: (np.arange(looks) == looks - 1) & (z_values(*each) >= norm.isf(ALPHA)),
    }
    for name, way in ways.items():
        false = sum(int(way(*each).any(axis=1).sum()) for each in calm)
        seen = np.concatenate([first(way(*each), 100) for each in doubled])
        print(f"  {name:24} {shown(false, runs)} | {np.median(seen):,.0f}", flush=True)
    few = max(100, runs // 10)
    peeked = sum(_mann_whitney(rng) for _ in range(few))
    print(f"  Mann-Whitney on latency, peeked at every 500 of 10,000: {shown(peeked, few)}")
    ours = sum(np.isfinite(until_harm(rng, plan(guards=read_guards("latency_p99", "")), 1, 500, 10_000)) for _ in range(few))
    print(f"  latency guard on such streams:                          {shown(ours, few)}")


def z_values(rows: np.ndarray, canary: np.ndarray, both: np.ndarray) -> np.ndarray:
    total = 100 * np.arange(1, rows.shape[1] + 1)
    control = total - rows
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = both / total
        z = (canary / rows - (both - canary) / control) / np.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / control))
    return np.nan_to_num(z, nan=-np.inf, posinf=-np.inf)


def _mann_whitney(rng: np.random.Generator) -> bool:
    canary, latency = rng.random(10_000) < 0.05, rng.lognormal(1.4, 0.6, 10_000)
    looks = range(500, 10_001, 500)
    return any(
        mannwhitneyu(latency[:n][canary[:n]], latency[:n][~canary[:n]], alternative="greater").pvalue < ALPHA for n in looks
    )


def speed(_runs: int) -> None:
    """Microseconds a request to update and judge all guards, by requests a look."""
    rng = np.random.default_rng(4)
    remembered = np.repeat(earlier(rng), 20)  # runs that remember each other are held in buckets as well
    for name, guards, before in (
        ("2 default guards", "", earlier(rng)),
        ("8 guards", EIGHT, earlier(rng)),
        ("8 guards, run times in spells", EIGHT, remembered),
    ):
        chosen = plan(guards=read_guards(guards, ""))
        for size in (100, 500, 2_000):
            streams = [stream(rng, size, 2) for _ in range(20)]
            evidence, seen, state = begin(chosen, 3, latencies=before), Seen(), rollout(chosen, step=2)
            taken = []
            for _ in range(7):
                began = time.process_time()
                for each in streams:
                    evidence = latched(chosen, fold(chosen, evidence, each, seen))
                    judge(state, evidence)
                taken.append((time.process_time() - began) / len(streams) / size * 1e6)
            print(f"  {name}, {size} requests a look: {min(taken):.1f} µs of one core a request (best of 7)", flush=True)


def bake(runs: int) -> None:
    """A switch of all traffic, looked at every second for five minutes of 20 requests a second: taken back or not, and when."""
    rng = np.random.default_rng(5)
    chosen = plan(steps=(100.0,), bake=300.0)
    for name, failing, slow in (
        ("as before", 0.005, 1.0),
        ("failures at the margin", 0.01, 1.0),
        ("failures 3 %", 0.03, 1.0),
        ("half as slow again", 0.005, 1.5),
        ("three times slower", 0.005, 3.0),
    ):
        found = np.array([_baked(rng, chosen, failing, slow) for _ in range(max(100, runs // 4))])
        back = int(np.isfinite(found).sum())
        seen = f"after {np.median(found[np.isfinite(found)]) * 20:,.0f} requests in the median" if back else ""
        print(f"  {name:24} taken back {shown(back, len(found))} {seen}", flush=True)


def _baked(rng: np.random.Generator, chosen: RolloutPlan, failing: float, slow: float) -> float:
    """Seconds until it is taken back; inf when it is not. The time before is a sample of 5,000 requests."""
    before = Before(5_000, {"error_rate": int(rng.binomial(5_000, 0.005))})
    evidence, seen = begin(chosen, 3, latencies=earlier(rng), before=before), Seen()
    for second in range(300):
        batch = stream(rng, 20, 0, steps=(0.0,), failing=(failing, failing))
        batch = batch._replace(run_ms=batch.run_ms * slow)
        evidence = fold_live(chosen, evidence, "", batch, np.full(20, second), seen)
        if unwell(chosen, evidence):
            return second + 1.0
    return float("inf")


PARTS: dict[str, Callable[[int], None]] = {
    each.__name__: each for each in (alarms, ladder, answers, labelled, spells, power, table, bake, speed)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    for name in arguments.only:
        print(f"-- {name}")
        PARTS[name](arguments.runs)


if __name__ == "__main__":
    main()
