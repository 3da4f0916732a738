"""E-values of every guard: against "no worse at all", which is harm, and against "worse by the margin or more".

Harm is one decision at alpha: the mean of the guards' e-values, then e-BH to name who it was. "No worse" is asked of each guard at
full alpha: all of them must be shown, so no error is spread over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.buckets import dispersed, log_bucket_higher
from prodml_magics.rollouts.durations import beyond_floor, beyond_margin
from prodml_magics.rollouts.evidence import Beginning, Evidence, durations_of, latencies_of, means_of, rates_of, scores_of
from prodml_magics.rollouts.fold import series_of
from prodml_magics.rollouts.guards import is_class, is_duration, is_latency, is_mean, is_score, range_of
from prodml_magics.rollouts.means import MeanTally, log_lower
from prodml_magics.rollouts.moved import log_moved, log_within
from prodml_magics.rollouts.runs import Tally, log_e_since, spent_at
from prodml_magics.stats.sequential.block_pairs import log_mean_of
from prodml_magics.stats.sequential.clipped_mean import log_higher
from prodml_magics.stats.sequential.exceedances import LEVELS
from prodml_magics.stats.sequential.kept import kept_for
from prodml_magics.stats.sequential.mixture import log_mean_exp
from prodml_magics.stats.sequential.onset import log_over_onsets
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, log_e_value, within
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = ["events_of", "log_harm", "log_no_worse", "margins_of"]

Floats = NDArray[np.float64]
_OF_LEVELS = tuple(f"slow {level:g}" for level in LEVELS)


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
        found[guard.metric] = _chosen(plan, evidence, "mean", log_higher(beyond_floor(evidence.durations)))
    return found


def _chosen(plan: RolloutPlan, evidence: Evidence, series: str, by_runs: float, sign: float = 1.0) -> float:
    """The log e-value `by_runs`, or that of buckets where each arm has slow spells of its own; 0 before that is known."""
    buckets = evidence.buckets
    if buckets is None:
        return by_runs
    place, decided = series_of(plan).index(series), dispersed(buckets)
    if not len(decided):
        return 0.0
    return log_bucket_higher(buckets, [place], sign)[0] if decided[place] else by_runs


def _smaller(plan: RolloutPlan, evidence: Evidence, series: Sequence[str], by_runs: Floats, sign: float = 1.0) -> Floats:
    """The smaller of the log e-values `by_runs` [series] and those of buckets: whosever the spells are, one of the two holds."""
    if evidence.buckets is None:
        return by_runs
    places = series_of(plan)
    return np.minimum(by_runs, log_bucket_higher(evidence.buckets, [places.index(each) for each in series], sign))


def _log_lower(guard: Guard, tally: MeanTally) -> float:
    """What is asymptotic does not add up over units, so that it has no later beginnings."""
    return log_lower(tally) if range_of(guard.metric) is not None else float(log_mean_of(tally.harm))


def _log_more(plan: RolloutPlan, evidence: Evidence) -> list[float]:
    """Of each guard that counts requests, over the start and every beginning."""
    now = np.array(evidence.counts)
    if not now.size:
        return []
    counts = np.concatenate([now[None], now - _counts(evidence.beginnings)]) if evidence.beginnings else now[None]
    canary, both = counts[:, :, 1].sum(axis=-1), counts.sum(axis=2)
    log_e = log_e_value(canary, both, evidence.shares, MORE)
    for index, guard in enumerate(rates_of(plan)):
        if is_class(guard.metric):
            log_e[:, index] = _log_outside(canary[:, index], both[:, index], evidence.shares, 1 + guard.margin)
    return list(log_over_onsets(log_e.T).tolist())


@kept_for
def _counts(begun: tuple[Beginning, ...]) -> NDArray[np.int64]:
    """Of each beginning, which every later look asks for."""
    return np.array([each.counts for each in begun])


@kept_for
def _spent(begun: tuple[Beginning, ...]) -> tuple[Floats, Floats]:
    """The same of slow runs; a beginning before the thresholds is the start."""
    return spent_at([each.slower for each in begun], len(LEVELS), len(MORE))


def _log_outside(canary: NDArray[np.int64], both: NDArray[np.int64], shares: Sequence[float], within: float) -> Floats:
    """Against a ratio from 1/`within` to `within`: half of the stake on either side."""
    more = log_e_value(canary, both, shares, MORE * within, within)
    fewer = log_e_value(canary, both, shares, FEWER / within, 1 / within)
    return log_mean_exp(np.stack([more, fewer], axis=-1))


def _log_slower(plan: RolloutPlan, evidence: Evidence) -> Floats:
    """Of each threshold, from the start and from each beginning; a beginning before the thresholds is the start."""
    slower = evidence.slower
    if slower is None:
        return np.zeros(1)
    begun = _spent(evidence.beginnings) if evidence.beginnings else None
    by_runs = log_over_onsets(log_e_since(slower, MORE, begun).T)
    return _smaller(plan, evidence, _OF_LEVELS, by_runs)


def log_no_worse(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> float:
    """Log e-value against "worse by the margin or more"."""
    if is_latency(guard.metric):  # its margin is in the limit: at the margin both arms are beyond theirs equally often
        return float(_smaller(plan, evidence, [guard.metric], _log_no_slower(guard, evidence), -1.0)[0])
    if is_mean(guard.metric):
        tally = evidence.means.get(guard.metric)
        return 0.0 if tally is None or tally.mismatch else float(log_mean_of(tally.no_worse))
    if is_score(guard.metric):
        return 0.0 if evidence.moved is None else log_within(evidence.moved)
    if is_duration(guard.metric):
        by_runs = log_higher(beyond_margin(evidence.durations))
        return _chosen(plan, evidence, "mean within its margin", by_runs, -1.0)
    if not guard.relative:
        return float(log_mean_exp(evidence.differences[guard.metric]))
    canary, both = events_of(guard, plan, evidence)
    ratios, null = within(guard.margin), 1 + guard.margin
    more = float(log_e_value(canary.sum(), both, evidence.shares, ratios, null))
    if not is_class(guard.metric):
        return more
    return min(more, float(log_e_value(canary.sum(), both, evidence.shares, 1 / ratios, 1 / null)))


def _log_no_slower(guard: Guard, evidence: Evidence) -> Floats:
    """One ratio for runs of every size: their evidence adds up within each bet, [1]."""
    mine = margins_of(guard, evidence)
    if not mine:
        return np.zeros(1)
    canary = sum(each.events[0][1] for each in mine)
    costs = np.array([each.costs[0] for each in mine]).sum(axis=0)
    return log_mean_exp(canary * np.log(FEWER) - costs)[None]


def margins_of(guard: Guard, evidence: Evidence) -> list[Tally]:
    """Runs beyond the margin of a latency guard, one tally for each size class of runs."""
    return [each for name, each in evidence.margins.items() if name.startswith(f"{guard.metric}/")]


def events_of(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Failures of the canary [steps], and of both arms [steps]."""
    control, canary = evidence.counts[rates_of(plan).index(guard)]
    return np.array(canary), np.array(control) + np.array(canary)
