"""From evidence to verdicts: harm on any guard, "no worse" on every one, and whether the split itself is sound.

Harm is one decision at alpha: the mean of the guards' e-values, then e-BH to name who it was. "No worse" is asked of each guard at
full alpha: all of them must be shown, so no error is spread over them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.buckets import BURN_IN as BUCKETS_BEFORE
from prodml_magics.rollouts.buckets import dispersed, dispersion, log_bucket_higher
from prodml_magics.rollouts.canary import Judgement
from prodml_magics.rollouts.durations import beyond_floor, beyond_margin, means, shift
from prodml_magics.rollouts.evidence import (
    Beginning,
    Evidence,
    durations_of,
    latencies_of,
    means_of,
    rates_of,
    scores_of,
    series_of,
)
from prodml_magics.rollouts.guards import (
    bound_of,
    is_class,
    is_duration,
    is_latency,
    is_mean,
    is_metric,
    is_score,
    level_of,
    lower_is_better,
    margin_text,
    range_of,
)
from prodml_magics.rollouts.harm import culprits
from prodml_magics.rollouts.means import MeanTally, log_lower
from prodml_magics.rollouts.metrics import metric_of
from prodml_magics.rollouts.money import LEAST, Clip
from prodml_magics.rollouts.moved import interval, log_moved, log_within
from prodml_magics.rollouts.runs import Tally, log_e_since
from prodml_magics.rollouts.watched import unwell, watched_verdicts
from prodml_magics.stats.sequential.block_pairs import log_mean_of
from prodml_magics.stats.sequential.clipped_mean import BURN_IN, half_width, log_higher
from prodml_magics.stats.sequential.exceedances import LEVELS
from prodml_magics.stats.sequential.interval import ratio_interval
from prodml_magics.stats.sequential.kept import kept_for
from prodml_magics.stats.sequential.mixture import log_mean_exp
from prodml_magics.stats.sequential.onset import log_over_onsets
from prodml_magics.stats.sequential.quantiles import Band, band
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, log_e_value, within
from prodml_magics.stats.sequential.rows_needed import rows_for_difference, rows_for_mean, rows_for_ratio
from prodml_magics.stats.sequential.rows_of_values import rows_for_clipped_mean
from prodml_magics.stats.sequential.sample_ratio import ALPHA, log_mismatch
from prodml_magics.wire.rollouts import Guard, GuardVerdict, RolloutPlan, RolloutState

__all__ = ["blind", "judge", "latched", "log_harm", "log_no_worse", "verdicts"]

Floats = NDArray[np.float64]
_MOST = 700.0


def latched(plan: RolloutPlan, evidence: Evidence) -> Evidence:
    """`evidence` that remembers what was shown at this look: evidence may shrink again, a verdict that was reached stands."""
    open_yet = [guard for guard in plan.guards if guard.metric not in evidence.passed]
    shown = [guard.metric for guard in open_yet if log_no_worse(guard, plan, evidence) >= math.log(1 / plan.alpha)]
    counted = np.array(evidence.requests)
    mismatch = float(log_mismatch(counted[1].sum(), counted.sum(axis=0), evidence.shares)) >= math.log(1 / ALPHA)
    passed = tuple(sorted({*evidence.passed, *shown}))
    return replace(evidence, passed=passed, mismatch=evidence.mismatch or mismatch)


def judge(state: RolloutState, evidence: Evidence) -> Judgement:
    """What the machine decides by."""
    plan = state.plan
    return Judgement(
        requests=evidence.requests[1][state.step],
        harm=culprits(log_harm(plan, evidence), plan.alpha),
        no_worse=all(guard.metric in evidence.passed and not _void(guard, evidence) for guard in plan.guards),
        mismatch=evidence.mismatch,
        blind=blind(plan, evidence),
        unwell=unwell(plan, evidence) if state.phase == "baking" else (),
    )


def blind(plan: RolloutPlan, evidence: Evidence) -> bool:
    """Whether a guard on latency cannot show harm yet, since each version may have slow spells of its own."""
    waits = bool(durations_of(plan)) or (evidence.apart and bool(latencies_of(plan)))
    return waits and evidence.buckets is not None and evidence.buckets.count < BUCKETS_BEFORE


def log_harm(plan: RolloutPlan, evidence: Evidence) -> dict[str, float]:
    """Log e-value against "no worse at all", per rate and once for latency (named after its first guard).

    Of a score or a class, whose direction is neither good nor bad: against "within the margin on both sides".
    """
    found = dict(zip((guard.metric for guard in rates_of(plan)), _log_more(plan, evidence), strict=True))
    for guard in latencies_of(plan)[:1]:
        found[guard.metric] = float(log_mean_exp(_log_slower(plan, evidence)))
    for guard in means_of(plan):
        tally = evidence.means.get(guard.metric)
        found[guard.metric] = 0.0 if tally is None or tally.mismatch else _log_lower(guard, tally)
    for guard in scores_of(plan):
        found[guard.metric] = 0.0 if evidence.moved is None else log_moved(evidence.moved)
    for guard in durations_of(plan):
        found[guard.metric] = _by_bucket(plan, evidence, "mean", log_higher(beyond_floor(evidence.durations)))
    return found


def _by_bucket(
    plan: RolloutPlan, evidence: Evidence, series: str, by_runs: float, sign: float = 1.0, *, until_known: float = 0.0
) -> float:
    """The log e-value `by_runs`, or that of buckets where each arm has slow spells of its own; `until_known` before that is known."""
    buckets = evidence.buckets
    if buckets is None:
        return by_runs
    place, decided = series_of(plan).index(series), dispersed(buckets)
    if not len(decided):
        return until_known
    return log_bucket_higher(buckets, [place], sign)[0] if decided[place] else by_runs


def _log_lower(guard: Guard, tally: MeanTally) -> float:
    """What is asymptotic does not add up over units, so that it has no later beginnings."""
    return log_lower(tally) if range_of(guard.metric) is not None else float(log_mean_of(tally.harm))


def _void(guard: Guard, evidence: Evidence) -> bool:
    """Whether labels come for one arm rather than the other, so that what they say does not count."""
    return guard.metric in evidence.means and evidence.means[guard.metric].mismatch


def _log_more(plan: RolloutPlan, evidence: Evidence) -> list[float]:
    """Of each guard that counts requests, over the start and every beginning."""
    now = np.array(evidence.counts)
    if not now.size:
        return []
    counts = np.stack([now, *(now - _counts(begun) for begun in evidence.beginnings)])
    canary, both = counts[:, :, 1].sum(axis=-1), counts.sum(axis=2)
    log_e = log_e_value(canary, both, evidence.shares, MORE)
    for index, guard in enumerate(rates_of(plan)):
        if is_class(guard.metric):
            log_e[:, index] = _log_outside(canary[:, index], both[:, index], evidence.shares, 1 + guard.margin)
    return list(log_over_onsets(log_e.T).tolist())


@kept_for
def _counts(begun: Beginning) -> NDArray[np.int64]:
    """Of a beginning, which every later look asks for."""
    return np.array(begun.counts)


def _log_outside(canary: NDArray[np.int64], both: NDArray[np.int64], shares: Sequence[float], within: float) -> Floats:
    """Against a ratio from 1/`within` to `within`: half of the stake on either side."""
    more = log_e_value(canary, both, shares, MORE * within, within)
    fewer = log_e_value(canary, both, shares, FEWER / within, 1 / within)
    return log_mean_exp(np.stack([more, fewer], axis=-1))


def _log_slower(plan: RolloutPlan, evidence: Evidence) -> list[float]:
    """Of each threshold, from the start and from each beginning; a beginning before the thresholds is the start.

    Versions that run in one process share their spells until buckets show otherwise. Waiting for these would leave one that is far slower
    where it is for fifty times the length of a spell.
    """
    slower = evidence.slower
    if slower is None:
        return [0.0]
    nothing = Tally.empty(len(slower.events), len(MORE))
    begun = [each.slower or nothing for each in evidence.beginnings]
    by_runs = log_over_onsets(log_e_since(slower, MORE, begun).T).tolist()
    if evidence.buckets is None:
        return list(by_runs)
    return [
        _by_bucket(plan, evidence, f"slow {level:g}", log_e, until_known=0.0 if evidence.apart else log_e)
        for level, log_e in zip(LEVELS, by_runs, strict=True)
    ]


def log_no_worse(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> float:
    """Log e-value against "worse by the margin or more"."""
    if is_latency(guard.metric):  # its margin is in the limit: at the margin both arms are beyond theirs equally often
        return _by_bucket(plan, evidence, guard.metric, _log_no_slower(guard, evidence), -1.0)
    if is_mean(guard.metric):
        tally = evidence.means.get(guard.metric)
        return 0.0 if tally is None or tally.mismatch else float(log_mean_of(tally.no_worse))
    if is_score(guard.metric):
        return 0.0 if evidence.moved is None else log_within(evidence.moved)
    if is_duration(guard.metric):
        by_runs = log_higher(beyond_margin(evidence.durations))
        return _by_bucket(plan, evidence, "mean within its margin", by_runs, -1.0)
    if not guard.relative:
        return float(log_mean_exp(evidence.differences[guard.metric]))
    canary, both = _events(guard, plan, evidence)
    ratios, null = within(guard.margin), 1 + guard.margin
    more = float(log_e_value(canary.sum(), both, evidence.shares, ratios, null))
    if not is_class(guard.metric):
        return more
    return min(more, float(log_e_value(canary.sum(), both, evidence.shares, 1 / ratios, 1 / null)))


def _log_no_slower(guard: Guard, evidence: Evidence) -> float:
    """One ratio for runs of every size: their evidence adds up within each bet."""
    mine = _margins(guard, evidence)
    if not mine:
        return 0.0
    canary = sum(each.events[0][1] for each in mine)
    costs = np.sum([each.costs[0] for each in mine], axis=0)
    return float(log_mean_exp(canary * np.log(FEWER) - costs))


def _margins(guard: Guard, evidence: Evidence) -> list[Tally]:
    return [each for name, each in evidence.margins.items() if name.startswith(f"{guard.metric}/")]


def _events(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Failures of the canary [steps], and of both arms [steps]."""
    control, canary = evidence.counts[rates_of(plan).index(guard)]
    return np.array(canary), np.array(control) + np.array(canary)


def verdicts(state: RolloutState, evidence: Evidence) -> tuple[GuardVerdict, ...]:
    """Every guard with its evidence, for people."""
    if state.plan.at_once:
        return watched_verdicts(state.plan, evidence)
    harm = log_harm(state.plan, evidence)
    worse = {*culprits(harm, state.plan.alpha), *unwell(state.plan, evidence)}
    return tuple(_verdict(guard, state, evidence, harm, worse) for guard in state.plan.guards)


def _verdict(guard: Guard, state: RolloutState, evidence: Evidence, harm: dict[str, float], named: set[str]) -> GuardVerdict:
    plan = state.plan
    worse = bool(named & ({guard.metric} if not is_latency(guard.metric) else {each.metric for each in latencies_of(plan)}))
    passed = guard.metric in evidence.passed and not _void(guard, evidence)
    log_good = log_no_worse(guard, plan, evidence)
    found = _found(guard, plan, evidence)
    return GuardVerdict(
        metric=guard.metric,
        margin=margin_text(guard),
        verdict="worse" if worse else "better" if found.better else "no worse" if passed else "undecided",
        e_worse=math.exp(min(_latency(harm) if is_latency(guard.metric) else harm[guard.metric], _MOST)),
        e_no_worse=math.exp(min(log_good, _MOST)),
        canary_events=found.canary,
        control_events=found.control,
        low=found.low,
        high=found.high,
        canary_rows=found.canary_rows,
        control_rows=found.control_rows,
        of="difference" if found.control_mean is not None or is_mean(guard.metric) else "ratio",
        canary_mean=found.canary_mean,
        control_mean=found.control_mean,
        rows_needed=None if passed or worse else _needed(guard, state, evidence, log_good),
        note=_note(guard, plan, evidence, events=found.canary + found.control),
    )


class _Found(NamedTuple):
    canary: int
    control: int
    low: float | None
    high: float | None
    better: bool
    canary_rows: int
    control_rows: int
    canary_mean: float | None = None
    control_mean: float | None = None


def _found(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> _Found:
    if is_mean(guard.metric):
        return _mean_found(guard, evidence)
    if is_score(guard.metric):
        return _score_found(plan, evidence)
    if is_duration(guard.metric):
        return _duration_found(plan, evidence)
    return _latency_found(guard, evidence) if is_latency(guard.metric) else _rate_found(guard, plan, evidence)


def _rate_found(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> _Found:
    canary, both = _events(guard, plan, evidence)
    ratios = ratio_interval(canary.sum(), both, evidence.shares, plan.alpha)
    fewer = float(log_e_value(canary.sum(), both, evidence.shares, FEWER)) >= math.log(1 / plan.alpha)
    better = fewer and not is_class(guard.metric)
    high = ratios.high if math.isfinite(ratios.high) else None
    return _Found(int(canary.sum()), int(both.sum() - canary.sum()), ratios.low, high, better, *_requests(evidence))


def _latency_found(guard: Guard, evidence: Evidence) -> _Found:
    mine = _margins(guard, evidence)
    control, canary = (sum(each.events[0][arm] for each in mine) for arm in (0, 1))
    return _Found(canary, control, None, None, False, *_requests(evidence))


def _mean_found(guard: Guard, evidence: Evidence) -> _Found:
    """Its events are the labelled units."""
    tally = evidence.means.get(guard.metric)
    if tally is None:
        return _Found(0, 0, None, None, False, 0, 0)
    control, canary = tally.units
    sign = -1.0 if lower_is_better(guard.metric) else 1.0  # kept the higher the better, shown as people know it
    low, high = (
        (-tally.high, -tally.low) if sign < 0 and tally.low is not None and tally.high is not None else (tally.low, tally.high)
    )
    means = [sign * total / units if units else None for total, units in zip(tally.sums, tally.units, strict=True)]
    better = tally.low is not None and tally.low > 0 and not tally.mismatch
    return _Found(canary, control, low, high, better, canary, control, means[1], means[0])


def _score_found(plan: RolloutPlan, evidence: Evidence) -> _Found:
    """Its events are the answered units."""
    if evidence.moved is None or not sum(evidence.moved.units):
        return _Found(0, 0, None, None, False, 0, 0)
    (control, canary), sums = evidence.moved.units, evidence.moved.sums
    low, high = interval(evidence.moved, plan.alpha)
    mine, theirs = (total / units if units else None for total, units in ((sums[1], canary), (sums[0], control)))
    return _Found(canary, control, low, high, False, canary, control, mine, theirs)


def _duration_found(plan: RolloutPlan, evidence: Evidence) -> _Found:
    """Its events are runs, its means milliseconds."""
    control, canary = means(evidence.durations)
    apart = shift(evidence.durations)
    width = half_width(apart, plan.alpha)
    low, high = (apart.mean - width, apart.mean + width) if math.isfinite(width) else (None, None)
    return _Found(
        canary.size,
        control.size,
        low,
        high,
        high is not None and high < 0,
        canary.size,
        control.size,
        canary.mean if canary.size else None,
        control.mean if control.size else None,
    )


def _requests(evidence: Evidence) -> tuple[int, int]:
    return sum(evidence.requests[1]), sum(evidence.requests[0])


def _latency(harm: dict[str, float]) -> float:
    return next((value for name, value in harm.items() if is_latency(name)), 0.0)


def _note(guard: Guard, plan: RolloutPlan, evidence: Evidence, *, events: int) -> str:
    if evidence.mismatch:
        return "the split is unsound: no verdict counts"
    if is_mean(guard.metric):
        return _label_note(guard, evidence)
    if is_score(guard.metric):
        return "it may move to neither side by more than its margin"
    if (is_latency(guard.metric) or is_duration(guard.metric)) and not evidence.thresholds:
        return f"learning what is slow from the first live runs ({len(evidence.learning)} so far)"
    if (is_latency(guard.metric) or is_duration(guard.metric)) and (spells := _spells(guard, plan, evidence)):
        return spells
    if is_latency(guard.metric):
        return _bands(guard, plan, evidence)
    if is_duration(guard.metric):
        return f"asymptotic, of times clipped at {evidence.thresholds[-1]:.3g} ms, after {BURN_IN} runs of the canary"
    if is_class(guard.metric):
        return "no answer of either version says it" if not events else "neither more nor less often by its margin"
    if guard.relative and not events:
        return "no event on either arm: a relative margin cannot decide; an absolute one can"
    return ""


def _spells(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> str:
    """Where slow runs come in spells, whose they are; empty where they do not, or where both arms share them."""
    buckets = evidence.buckets
    if buckets is None:
        return ""
    if buckets.count < BUCKETS_BEFORE:
        return (
            f"slow runs come in spells: {buckets.count} of {BUCKETS_BEFORE} buckets of {buckets.length} runs, which tell whether each "
            "version has its own"
        )
    names = ("mean", "mean within its margin") if is_duration(guard.metric) else (guard.metric, *(f"slow {x:g}" for x in LEVELS))
    places, decided = [series_of(plan).index(name) for name in names], dispersed(buckets)
    if not decided[places].any():
        return ""
    most = float(dispersion(buckets)[places].max())
    return (
        f"each version has slow spells of its own (dispersion {most:.2g}): {buckets.count} buckets of {buckets.length} runs decide, "
        "asymptotically"
    )


def _bands(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> str:
    """The quantile of both arms, for people; the verdict does not rest on it."""
    control, canary = (band(dict(counts), level_of(guard.metric), plan.alpha) for counts in evidence.times)
    if control is None or canary is None:
        return ""
    return f"runs of the canary {_band_text(canary)}, of the live version {_band_text(control)}"


def _band_text(found: Band) -> str:
    high = f"{found.high:.3g}" if math.isfinite(found.high) else "∞"
    return f"{found.value:.3g} ms ({found.low:.3g} to {high})"


def _label_note(guard: Guard, evidence: Evidence) -> str:
    tally = evidence.means.get(guard.metric)
    column = metric_of(guard.metric).column if is_metric(guard.metric) else "label"
    if tally is None:
        return f"no {column} has come yet; give them with %labels" if range_of(guard.metric) else _learning_note(column)
    if tally.mismatch:
        return f"{column}s do not come for the arms in their shares: it cannot count"
    clip = evidence.clips.get(guard.metric)
    if clip is not None:
        return _money_note(guard, tally, clip)
    if is_metric(guard.metric):
        return "cut to its range"
    return "clipped at 3 nats" if guard.metric == "log_loss" else ""


def _learning_note(column: str) -> str:
    return f"too little of {column} has come to know its size (it takes {LEAST} of the live version); give it with %labels"


def _money_note(guard: Guard, tally: MeanTally, clip: Clip) -> str:
    if tally.units[0] and (-1 if lower_is_better(guard.metric) else 1) * tally.sums[0] <= 0:
        return "the live version's mean is not above 0, so that no share of it is a margin; give the metric a range"
    return f"asymptotic, of values clipped to {clip.low:.3g}..{clip.high:.3g}, after {BURN_IN} of the canary"


def _needed(guard: Guard, state: RolloutState, evidence: Evidence, log_good: float) -> int | None:
    """Requests that "no worse" is expected to take still, if the arms are alike and the rates stay as they are."""
    if is_mean(guard.metric):
        return _needed_of_mean(guard, state, evidence, log_good)
    if is_score(guard.metric):
        return _needed_of_score(guard, state, evidence, log_good)
    if is_duration(guard.metric):
        return None
    rows = _expected(guard, state.share, _control_rate(guard, state.plan, evidence), state.plan.alpha)
    left = rows * max(0.0, 1 - log_good / math.log(1 / state.plan.alpha))
    return round(left) if math.isfinite(left) else None


def _needed_of_mean(guard: Guard, state: RolloutState, evidence: Evidence, log_good: float) -> int | None:
    """In requests, at the rate at which labels come."""
    tally = evidence.means.get(guard.metric)
    answered = sum(map(sum, evidence.requests))
    if tally is None or not sum(tally.units) or not answered:
        return None
    mean, limits = sum(tally.sums) / sum(tally.units), range_of(guard.metric)
    if limits is None:
        sd, worth = math.sqrt(tally.variance), abs(mean)
        units = rows_for_clipped_mean(
            state.share, float(f"{sd:.2g}"), float(f"{worth * guard.margin:.2g}"), alpha=state.plan.alpha
        )
    else:
        lost = limits[1] - mean if not lower_is_better(guard.metric) else -mean - limits[0]
        units = rows_for_mean(
            state.share,
            float(f"{lost:.2g}"),
            float(f"{tally.variance:.2g}"),
            margin=guard.margin,
            bound=bound_of(guard.metric),
            alpha=state.plan.alpha,
        )
    left = units * max(0.0, 1 - log_good / math.log(1 / state.plan.alpha))
    return round(left * answered / sum(tally.units)) if math.isfinite(left) else None


def _needed_of_score(guard: Guard, state: RolloutState, evidence: Evidence, log_good: float) -> int | None:
    moved = evidence.moved
    if moved is None or not sum(moved.units):
        return None
    middle, variance = float(f"{sum(moved.sums) / sum(moved.units):.2g}"), float(f"{moved.variance:.2g}")
    units = rows_for_mean(state.share, middle, variance, margin=guard.margin, bound=1.0, alpha=state.plan.alpha)
    left = units * max(0.0, 1 - log_good / math.log(1 / state.plan.alpha))
    answered = sum(map(sum, evidence.requests))
    return round(left * answered / sum(moved.units)) if math.isfinite(left) else None


@lru_cache(maxsize=256)
def _expected(guard: Guard, share: float, rate: float, alpha: float) -> float:
    if not guard.relative:
        return rows_for_difference(share, rate, 0.0, guard.margin, alpha=alpha)
    if is_latency(guard.metric):  # how much rarer the margin makes an exceedance depends on the shape: a half stands for most
        return rows_for_ratio(share, rate, 0.5, low=0.1, high=1 / 1.1, alpha=alpha)
    null = 1 + guard.margin
    return rows_for_ratio(share, rate, 1.0, null=null, low=0.8 / null, high=1.2 / null, points=12, alpha=alpha)


def _control_rate(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> float:
    if is_latency(guard.metric):
        return 1 - level_of(guard.metric)
    canary, both = _events(guard, plan, evidence)
    return float(f"{(both - canary).sum() / max(1, sum(evidence.requests[0])):.2g}")
